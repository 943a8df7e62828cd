// Latency and frame rate over the last two minutes, one point a second, on a canvas.

const SECONDS = 120;
const GAP_SECONDS = 3; // no line is drawn across a longer silence

export class Graph {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = []; // { at, p50, p95, fps, target }, oldest first; `at` in seconds of performance.now()
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
  }

  /** Replaces all points by lines of statistics that were a second apart, the newest now. */
  recall(lines) {
    const now = performance.now() / 1000;
    this.points = lines.map((line, index) => point(line, now - (lines.length - index)));
  }

  add(line) {
    const now = performance.now() / 1000;
    this.points = this.points.filter(({ at }) => at > now - SECONDS - 2);
    this.points.push(point(line, now));
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext('2d');
    context.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const colors = Object.fromEntries(['ink', 'soft', 'line', 'latency', 'rate', 'panel']
      .map((name) => [name, style.getPropertyValue(`--${name}`)]));
    context.font = `11px ${style.fontFamily}`;
    const left = 34, right = width - 6, half = (height - 18) / 2;
    const now = performance.now() / 1000;
    const x = (at) => right - ((now - at) / SECONDS) * (right - left);
    const plot = { context, colors, left, right, x, points: this.points };
    const most = (...fields) => Math.max(...this.points.flatMap((point) => fields.map((field) => point[field] ?? 0)), 0);
    const latency = area(plot, 'Latency, ms', 0, half - 20, ceiling(Math.max(50, most('p50', 'p95'))));
    curve(plot, latency, 'p95', colors.latency, 0.55);
    curve(plot, latency, 'p50', colors.latency);
    key(plot, 0, [['p95', colors.latency, 0.55], ['median', colors.latency, 1]]);
    const rate = area(plot, 'Frame rate, fps', half, 2 * half - 20, ceiling(Math.max(10, 1.1 * most('fps', 'target'))));
    curve(plot, rate, 'target', colors.soft, 1, [3, 4]);
    curve(plot, rate, 'fps', colors.rate);
    key(plot, half, [['target', colors.soft, 1], ['out', colors.rate, 1]]);
    times(plot, height - 3);
    this.#describe();
  }

  #describe() {
    const newest = this.points.at(-1);
    if (!newest || !Number.isFinite(newest.p50)) return;
    const worst = Math.max(...this.points.map(({ p95 }) => p95).filter(Number.isFinite));
    this.canvas.setAttribute('aria-label',
      `Last two minutes: latency now ${Math.round(newest.p50)} ms, at most ${Math.round(worst)} ms (p95); `
      + `${newest.fps?.toFixed(1)} frames per second of ${newest.target}`);
  }
}

function point(line, at) {
  return { at, p50: line.latency_p50_ms, p95: line.latency_p95_ms, fps: line.fps_out, target: line.fps_target };
}

/** A round number, at least `value`. */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * power >= value) * power;
}

/** Title, grid and scale of one plot between `top` and `bottom`; returns how a value becomes a y. */
function area({ context, colors, left, right }, title, top, bottom, most) {
  const y = (value) => bottom - (value / most) * (bottom - top - 22);
  context.globalAlpha = 1;
  context.setLineDash([]);
  context.lineWidth = 1;
  context.strokeStyle = colors.line;
  context.fillStyle = colors.ink;
  context.textAlign = 'left';
  context.fillText(title, 0, top + 10);
  context.fillStyle = colors.soft;
  context.textAlign = 'right';
  for (const value of [0, most / 2, most]) {
    const level = Math.round(y(value)) + 0.5;
    context.beginPath();
    context.moveTo(left, level);
    context.lineTo(right, level);
    context.stroke();
    context.fillText(String(+value.toFixed(1)), left - 6, level + 3.5);
  }
  return y;
}

function curve({ context, left, x, points }, y, field, color, alpha = 1, dash = []) {
  context.strokeStyle = color;
  context.globalAlpha = alpha;
  context.lineWidth = 1.5;
  context.lineJoin = 'round';
  context.setLineDash(dash);
  context.beginPath();
  let last = -Infinity;
  for (const point of points) {
    if (!Number.isFinite(point[field]) || x(point.at) < left) continue;
    const gap = point.at - last > GAP_SECONDS;
    context[gap ? 'moveTo' : 'lineTo'](x(point.at), y(point[field]));
    last = point.at;
  }
  context.stroke();
}

/** Names of the curves, from the right. */
function key({ context, colors, right }, top, entries) {
  context.setLineDash([]);
  context.textAlign = 'right';
  let at = right;
  for (const [name, color, alpha] of entries.toReversed()) {
    context.globalAlpha = 1;
    context.fillStyle = colors.soft;
    context.fillText(name, at, top + 10);
    at -= context.measureText(name).width + 6;
    context.globalAlpha = alpha;
    context.fillStyle = color;
    context.fillRect(at - 12, top + 5, 12, 2.5);
    at -= 26;
  }
  context.globalAlpha = 1;
}

function times({ context, colors, left, right }, baseline) {
  context.fillStyle = colors.soft;
  for (const [text, align, at] of [['2 min ago', 'left', left], ['1 min', 'center', (left + right) / 2], ['now', 'right', right]]) {
    context.textAlign = align;
    context.fillText(text, at, baseline);
  }
}
