// The picture on its canvas: the source left of the divider, enlarged by the browser's bicubic; the upscaled one right.

export class Screen {
  /** `painted()` is called for every picture of the video that was drawn. */
  constructor({ video, canvas, stage, divider }, painted) {
    this.video = video;
    this.canvas = canvas;
    this.stage = stage;
    this.divider = divider;
    this.context = canvas.getContext('2d', { alpha: false });
    // The newest picture, taken from the video once: between two looks at the video it may have gone on.
    this.composed = document.createElement('canvas');
    this.taken = this.composed.getContext('2d', { alpha: false });
    this.#listen();
    this.#paintEveryPicture(painted);
    this.moveTo(50);
  }

  /** What the pictures from now on are made of: areas of the composed picture, aspect and rotation. */
  compose(picture) {
    this.picture = picture;
    const width = Math.round(picture.result.width * picture.sample_aspect_ratio), height = picture.result.height;
    this.sideways = picture.rotation % 180 !== 0;
    this.size = { width, height };
    const [across, down] = this.sideways ? [height, width] : [width, height];
    if (this.canvas.width !== across || this.canvas.height !== down) {
      this.canvas.width = across;
      this.canvas.height = down;
    }
    this.stage.style.setProperty('--aspect', `${across} / ${down}`);
    this.stage.style.setProperty('--aspect-number', across / down);
  }

  /** Puts the divider at `percent` of the width. */
  moveTo(percent) {
    this.percent = Math.min(100, Math.max(0, percent));
    this.stage.style.setProperty('--divider', `${this.percent}%`);
    this.divider.setAttribute('aria-valuenow', String(Math.round(this.percent)));
    this.divider.setAttribute('aria-valuetext', `${Math.round(this.percent)} % source, the rest upscaled`);
    this.#paint();
  }

  /** Moves the divider for an arrow key; says whether it was one. */
  moveByKey(event) {
    const step = event.shiftKey ? 10 : 1;
    const to = { ArrowLeft: this.percent - step, ArrowRight: this.percent + step }[event.key];
    if (to !== undefined) this.moveTo(to);
    return to !== undefined;
  }

  #listen() {
    const follow = (event) => {
      const box = this.canvas.getBoundingClientRect();
      this.moveTo(((event.clientX - box.left) / box.width) * 100);
    };
    this.stage.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      this.stage.setPointerCapture(event.pointerId);
      this.divider.focus({ preventScroll: true });
      follow(event);
      event.preventDefault();
    });
    this.stage.addEventListener('pointermove', (event) => {
      if (this.stage.hasPointerCapture(event.pointerId)) follow(event);
    });
    this.divider.addEventListener('keydown', (event) => {
      const end = { Home: 0, End: 100, PageDown: this.percent - 10, PageUp: this.percent + 10 }[event.key];
      if (end === undefined) return;
      this.moveTo(end);
      event.preventDefault();
    });
  }

  #paintEveryPicture(painted) {
    const paint = () => {
      this.video.requestVideoFrameCallback(paint);
      this.#take();
      this.#paint();
      painted();
    };
    this.video.requestVideoFrameCallback(paint);
  }

  #take() {
    const { video, composed } = this;
    if (composed.width !== video.videoWidth || composed.height !== video.videoHeight) {
      composed.width = video.videoWidth;
      composed.height = video.videoHeight;
    }
    this.taken.drawImage(video, 0, 0);
  }

  #paint() {
    if (!this.picture || !this.composed.height) return;
    const { width, height } = this.canvas;
    const x = Math.round((width * this.percent) / 100);
    this.#draw(this.picture.source, 0, x, 'high');
    this.#draw(this.picture.result, x, width, 'low');
  }

  /** Draws `area` of the newest picture over the whole canvas, seen from column `left` to `right` only. */
  #draw(area, left, right, smoothing) {
    if (left >= right) return;
    const { context, canvas, size } = this;
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, canvas.height);
    context.clip();
    context.translate(canvas.width / 2, canvas.height / 2);
    context.rotate((-this.picture.rotation * Math.PI) / 180);
    context.imageSmoothingQuality = smoothing;
    context.drawImage(this.composed, area.x, area.y, area.width, area.height,
      -size.width / 2, -size.height / 2, size.width, size.height);
    context.restore();
  }
}
