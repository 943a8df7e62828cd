// Fragments into a <video> by Media Source Extensions, always at the live edge.
//
// The clock of the video runs freely. What matters is by how much each picture comes before it is due, its slack. That
// of nearly all of the last pictures is kept at a few hundredths of a second, by playing a little faster or slower:
// enough that few come too late to be shown, and not more, because all of it is latency.

const SLACK_SECONDS = 0.03;
const SLACK_WITH_SOUND_SECONDS = 0.2; // with less than 0.13 s of sound ahead, Chromium stops the picture too
const SLOWEST = 0.8, FASTEST = 1.25, STEP = 0.05; // of the pace, which is changed in steps because a change costs time
const GAIN = 1.5; // change of pace for a second too much
const WINDOW_SECONDS = 2; // of pictures whose slack is looked at
const LATE_SHARE = 0.1; // of them may come too late
const JUMP_SECONDS = 0.7; // further off than this: jump
const KEEP_SECONDS = 10; // what has been played is let go after
const MOST_PENDING = 300; // messages, some seconds of them: a tab that nobody has looked at yet opens no source

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
   * Begins anew. What follows by `append` is an initialisation segment and fragments of `mime`. What is buffered ends
   * `tail_seconds` after the beginning of the newest picture.
   */
  start({ mime, tail_seconds: tail, sound }) {
    this.stop();
    this.tail = tail;
    this.target = sound ? SLACK_WITH_SOUND_SECONDS : SLACK_SECONDS;
    this.slacks = [];
    const source = new (window.ManagedMediaSource ?? window.MediaSource)(); // the former: iPhones
    this.source = source;
    this.url = URL.createObjectURL(source);
    source.addEventListener('sourceopen', () => {
      if (this.source !== source) return;
      if (this.missed) return this.#fail();
      this.buffer = source.addSourceBuffer(mime);
      this.buffer.addEventListener('updateend', () => {
        if (this.source !== source) return;
        this.#keepUp();
        this.#advance();
      });
      this.buffer.addEventListener('error', () => { if (this.source === source) this.#fail(); });
      this.#advance();
    }, { once: true });
    this.video.src = this.url;
  }

  stop() {
    this.source = this.buffer = undefined;
    this.pending = [];
    this.missed = false; // something of what came, for which there was no room
    this.playing = false;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = undefined;
  }

  append(bytes) {
    if (!this.source || this.missed) return; // nothing plays it
    this.pending.push(bytes);
    this.#advance();
    if (this.pending.length > MOST_PENDING) this.#overflow();
  }

  /** What comes now could not be played without what is let go: a new start is needed, once it can be seen. */
  #overflow() {
    this.missed = true;
    this.pending = [];
    if (this.buffer) this.#fail();
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
    if (!this.buffer || this.buffer.updating || !this.pending.length || this.source.readyState !== 'open') return;
    const bytes = joined(this.pending);
    this.pending = [];
    try {
      this.buffer.appendBuffer(bytes);
    } catch (error) {
      console.info('The picture starts anew:', error.message);
      this.#fail();
    }
  }

  /** Something was appended, or let go: is the picture that is shown where it should be? */
  #keepUp() {
    const { video, slacks, target } = this;
    const { buffered } = video;
    if (!buffered.length) return;
    const first = buffered.start(buffered.length - 1), newest = buffered.end(buffered.length - 1) - this.tail;
    const slack = newest - video.currentTime, now = performance.now() / 1000;
    if (!this.playing || Math.abs(slack - target) > JUMP_SECONDS) {
      this.playing = true;
      slacks.length = 0;
      video.currentTime = Math.max(first, newest - target);
      video.playbackRate = 1;
      if (video.paused) this.play();
    } else {
      slacks.push({ at: now, slack });
      while (slacks[0].at < now - WINDOW_SECONDS) slacks.shift();
      const pace = 1 + GAIN * (this.slack - target);
      const rate = Math.round(Math.min(FASTEST, Math.max(SLOWEST, pace)) / STEP) * STEP;
      if (Math.abs(rate - video.playbackRate) > STEP / 2) video.playbackRate = rate;
    }
    // It is busy again where the next message came before the event that told us of the end of the last one.
    if (!this.buffer.updating && buffered.start(0) < video.currentTime - 2 * KEEP_SECONDS) {
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
