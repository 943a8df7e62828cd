// What the buttons, the select and the keys ask of the session.

const at = (id) => document.getElementById(id);

export class Buttons {
  /** `say(text, isError)` shows one line; `listen()` begins the picture anew, with sound where `listening`. */
  constructor({ screen, full, say, listen }) {
    this.say = say;
    this.listen = listen;
    this.stats = undefined;
    this.models = '';
    this.listening = false;
    const actions = {
      pause: () => this.#pause(),
      snapshot: () => this.#snapshot(),
      record: () => this.#record(),
      sound: () => {
        this.listening = !this.listening;
        this.listen();
      },
      fullscreen: () => (document.fullscreenElement ? document.exitFullscreen() : full.requestFullscreen()),
    };
    for (const [id, act] of Object.entries(actions)) at(id).addEventListener('click', act);
    at('fullscreen').hidden = !document.fullscreenEnabled;
    at('model').addEventListener('change', () => this.#choose());
    document.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('select')) return;
      const button = document.querySelector(`[aria-keyshortcuts="${CSS.escape(event.key.toLowerCase())}"]`);
      if (button && !button.disabled && !event.repeat) button.click();
      else if (!screen.moveByKey(event)) return;
      event.preventDefault();
    });
  }

  /** The models that can be chosen: "auto" alone before the first picture. */
  #showModels(models) {
    if (models.join() === this.models) return;
    this.models = models.join();
    const options = models.map((name) => new Option(name === 'auto' ? 'auto: keep the rate' : name, name));
    at('model').replaceChildren(...options);
    this.#showChosen();
    at('model').disabled = false;
  }

  /** The buttons as the session says it is, whoever pressed them. */
  show(stats) {
    this.stats = stats;
    this.#showModels(stats.models);
    press('pause', stats.paused, stats.paused ? 'Resume' : 'Pause');
    press('record', stats.recording !== null, stats.recording === null ? 'Record' : 'Stop');
    at('record').title = stats.recording ?? '';
    if (document.activeElement !== at('model')) this.#showChosen();
  }

  #showChosen() {
    at('model').value = this.stats?.pinned ? this.stats.rung : 'auto';
  }

  /** Whether the picture that begins has sound, or could have: while none comes, it goes on without. */
  showSound({ sound, sound_available: available }) {
    this.listening &&= available;
    at('sound').disabled = !available;
    const missing = this.listening && !sound ? 'No sound comes at present' : '';
    at('sound').title = available ? missing : 'This session has no sound';
    press('sound', this.listening, 'Sound');
  }

  async #choose() {
    if (!(await this.#ask('/model', { name: at('model').value }))) this.#showChosen();
  }

  async #pause() {
    const answer = await this.#ask('/pause', { paused: !this.stats?.paused });
    if (answer) this.show({ ...this.stats, paused: answer.paused });
  }

  async #record() {
    const answer = await this.#ask('/record', { recording: this.stats?.recording === null });
    if (!answer) return;
    this.show({ ...this.stats, recording: answer.file });
    this.say(answer.file ? `Recording to ${answer.file}` : 'The recording is finished');
  }

  async #snapshot() {
    const form = await this.#post('/snapshot', {}, (response) => response.formData());
    if (!form) return;
    const files = [...form.values()];
    for (const file of files) {
      const link = document.createElement('a');
      link.href = URL.createObjectURL(file);
      link.download = file.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    }
    this.say(`Saved ${files.map(({ name }) => name).join(' and ')}`);
  }

  #ask(path, body) {
    return this.#post(path, body, (response) => response.json());
  }

  /** What `read` makes of the response, or nothing where it was refused or broke off, which is then said. */
  async #post(path, body, read) {
    try {
      const response = await fetch(path, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      });
      if (response.ok) return await read(response);
      const isJson = response.headers.get('content-type').startsWith('application/json');
      this.say(isJson ? (await response.json()).error : await response.text(), true);
    } catch {
      this.say('The server does not answer', true);
    }
    return undefined;
  }
}

function press(id, pressed, label) {
  const button = at(id);
  button.setAttribute('aria-pressed', String(pressed));
  button.querySelector('span').textContent = label;
}
