// Fragments into a <video> by Media Source Extensions, always at the live edge.
//
// The clock of the video runs freely; what matters is by how much each picture comes before it is due, its slack. The
// least slack of the last seconds is kept at SLACK_SECONDS, by playing a little faster or slower: enough that no picture
// comes too late to be shown, and not more, because all of it is latency.

const SLACK_SECONDS = 0.02;
const DEAD_BAND_SECONDS = 0.01; // no change of pace for less
const SLOWEST = 0.9, FASTEST = 1.2;
const WINDOW_SECONDS = 2; // of pictures whose slack is looked at
const LATE_SHARE = 0.1; // of them may come too late
const JUMP_SECONDS = 0.7; // further off than this: jump
const KEEP_SECONDS = 10; // what has been played is let go after

export class Player {
  /** `broken()` is called where a new start is needed, `refused()` where the browser plays only after a click. */
  constructor(video, { broken, refused }) {
    this.video = video;
    this.broken = broken;
    this.refused = refused;
    this.pending = [];
    this.slacks = []; // { at, slack } of the last pictures
    video.addEventListener('error', () => this.#fail());
  }

  /** Whether this browser can play `mime` at all. */
  static plays(mime) {
    const Source = window.ManagedMediaSource ?? window.MediaSource;
    return Source !== undefined && Source.isTypeSupported(mime);
  }

  /**
   * Begins anew. What follows by `append` is an initialisation segment and fragments of `mime`. Each picture is stated
   * to last `tail` seconds, so that the clock runs on where the next one comes late or was dropped.
   */
  start(mime, tail) {
    this.stop();
    this.tail = tail;
    this.slacks = [];
    const source = new (window.ManagedMediaSource ?? window.MediaSource)(); // the former: iPhones
    this.source = source;
    this.url = URL.createObjectURL(source);
    source.addEventListener('sourceopen', () => {
      if (this.source !== source) return;
      this.buffer = source.addSourceBuffer(mime);
      this.buffer.addEventListener('updateend', () => { if (this.source === source) this.#advance(); });
      this.buffer.addEventListener('error', () => { if (this.source === source) this.#fail(); });
      this.#advance();
    }, { once: true });
    this.video.src = this.url;
  }

  stop() {
    this.source = this.buffer = undefined;
    this.pending = [];
    this.playing = false;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = undefined;
  }

  append(bytes) {
    this.pending.push(bytes);
    this.#advance();
  }

  /** Seconds by which nearly all of the last pictures came before they were due; the latest few are let be late. */
  get slack() {
    const sorted = this.slacks.map(({ slack }) => slack).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length * LATE_SHARE)];
  }

  #fail() {
    if (!this.source) return;
    this.stop();
    this.broken();
  }

  #advance() {
    if (!this.buffer || this.buffer.updating || this.source.readyState !== 'open') return;
    try {
      this.#keepUp();
      if (this.buffer.updating || !this.pending.length) return;
      const bytes = joined(this.pending);
      this.pending = [];
      this.buffer.appendBuffer(bytes);
    } catch (error) {
      console.info('The picture starts anew:', error.message);
      this.#fail();
    }
  }

  #keepUp() {
    const { video, slacks } = this;
    const { buffered } = video;
    if (!buffered.length) return;
    const first = buffered.start(buffered.length - 1), newest = buffered.end(buffered.length - 1) - this.tail;
    const slack = newest - video.currentTime, now = performance.now() / 1000;
    if (!this.playing || slack > JUMP_SECONDS || slack < -JUMP_SECONDS) {
      this.playing = true;
      slacks.length = 0;
      video.currentTime = Math.max(first, newest - SLACK_SECONDS);
      video.playbackRate = 1;
      if (video.paused) this.play();
    } else {
      slacks.push({ at: now, slack });
      while (slacks[0].at < now - WINDOW_SECONDS) slacks.shift();
      const excess = this.slack - SLACK_SECONDS;
      video.playbackRate = Math.abs(excess) < DEAD_BAND_SECONDS ? 1 : Math.min(FASTEST, Math.max(SLOWEST, 1 + excess));
    }
    if (buffered.start(0) < video.currentTime - 2 * KEEP_SECONDS) {
      this.buffer.remove(0, video.currentTime - KEEP_SECONDS);
    }
  }

  async play() {
    try {
      await this.video.play();
    } catch (error) {
      if (error.name === 'NotAllowedError') this.refused();
      // AbortError: a new start came between; it plays by itself.
    }
  }
}

function joined(chunks) {
  if (chunks.length === 1) return chunks[0];
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(new Uint8Array(chunk), at);
    at += chunk.byteLength;
  }
  return all;
}
