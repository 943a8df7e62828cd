// The WebSocket: says when it is lost, and comes back by itself.

const FIRST_RETRY_MS = 400, LAST_RETRY_MS = 4000;
const SILENCE_MS = 4000; // statistics come every second; without them the connection is lost, whatever the browser thinks

export class Connection {
  /** Calls `opened()`, `told(message)`, `fed(bytes)`, `lost(reason)`, and `forbidden()` where the server knows us not. */
  constructor(listener) {
    this.listener = listener;
    this.attempts = 0;
    for (const name of ['online', 'pageshow']) addEventListener(name, () => this.#hurry());
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.#hurry(); });
    setInterval(() => this.#listenForSilence(), 1000);
    this.#open();
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  send(message) {
    if (this.isOpen) this.socket.send(JSON.stringify(message));
  }

  #open() {
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/watch`);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    this.heardAt = performance.now();
    const current = (react) => (event) => { if (this.socket === socket) react(event); };
    socket.addEventListener('open', current(() => this.listener.opened()));
    socket.addEventListener('message', current(({ data }) => {
      this.heardAt = performance.now();
      this.attempts = 0;
      if (typeof data === 'string') this.listener.told(JSON.parse(data));
      else this.listener.fed(data);
    }));
    socket.addEventListener('close', current((event) => this.#lose(event.reason)));
  }

  #listenForSilence() {
    if (this.socket && performance.now() - this.heardAt > SILENCE_MS) this.#lose('');
  }

  #lose(reason) {
    const socket = this.socket;
    this.socket = undefined; // its events are not heard any more
    socket.close();
    const wait = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 1.6 ** this.attempts) * (0.8 + 0.4 * Math.random());
    this.attempts += 1;
    this.timer = setTimeout(() => this.#open(), wait);
    this.listener.lost(reason);
    this.#askWhy();
  }

  /** A refused WebSocket does not say why, so the page itself is asked for. */
  async #askWhy() {
    try {
      const { status } = await fetch('/', { method: 'HEAD', cache: 'no-store', signal: AbortSignal.timeout(SILENCE_MS) });
      if (status === 401 && !this.isOpen) this.listener.forbidden();
    } catch {
      // No server there: lost, not forbidden, and that is said already.
    }
  }

  #hurry() {
    if (this.socket) return;
    clearTimeout(this.timer);
    this.#open();
  }
}
