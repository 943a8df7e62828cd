// The figures, the source and the sinks, in words and numbers.

const GOOD = new Set(['live', 'ok']);
const BAD = new Set(['gone', 'failed']);

const at = (id) => document.getElementById(id);

/** good, bad, or wait: the colour of a state, which is always written out beside it. */
export function tone(state) {
  if (GOOD.has(state)) return 'good';
  return BAD.has(state) ? 'bad' : 'wait';
}

/** Shows one line of statistics. */
export function showFigures(stats) {
  write('latency', number(stats.latency_p50_ms));
  write('latency-detail', `median; p95 ${number(stats.latency_p95_ms)} ms, p99 ${number(stats.latency_p99_ms)} ms`);
  write('fps', number(stats.fps_out, 1));
  write('fps-detail', `of ${number(stats.fps_target)} fps; ${number(stats.fps_in, 1)} come in`);
  const short = stats.fps_out < 0.97 * stats.fps_target && !stats.paused;
  at('fps').dataset.tone = short ? 'warn' : '';
  write('rung', stats.rung ?? '–');
  write('rung-detail', stats.pinned ? 'chosen by hand' : stats.rung_reason);
  const dropped = Object.entries(stats.dropped_by_reason);
  write('dropped', count(stats.dropped));
  write('dropped-detail', dropped.filter(([, frames]) => frames).map(([reason, frames]) => `${reason} ${count(frames)}`).join(', ') || 'none');
  write('reused', number(stats.reused * 100));
  write('memory', stats.rss_mb === null ? '–' : count(Math.round(stats.rss_mb)));
  showGpu(stats.gpu);
  showStreams(stats.source, stats.sinks);
}

function showGpu(gpu) {
  at('gpu').hidden = !gpu;
  if (!gpu) return;
  write('gpu-load', number(gpu.utilization_percent));
  const facts = [
    gpu.name,
    gpu.memory_used_mb === null ? '' : `${count(Math.round(gpu.memory_used_mb))} MiB`,
    gpu.temperature_c === null ? '' : `${number(gpu.temperature_c)} °C`,
    gpu.power_watts === null ? '' : `${number(gpu.power_watts)} W`,
    ...gpu.throttle_reasons.map((reason) => `held down: ${reason}`),
  ];
  write('gpu-detail', facts.filter(Boolean).join(', '));
}

function showStreams(source, sinks) {
  const rows = [
    row('from', source.name, source.state, source.detail,
      [plural(source.faults, 'fault'), plural(source.reconnects, 'reconnect')]),
    ...sinks.map((sink) => row('to', sink.name, sink.state, sink.detail,
      [sink.delivered ? `${count(sink.delivered)} frames` : '', sink.dropped ? `${count(sink.dropped)} dropped` : '',
        plural(sink.restarts, 'restart')])),
  ];
  at('streams').replaceChildren(...rows);
}

function row(direction, name, state, detail, facts) {
  const item = document.createElement('li');
  item.dataset.tone = tone(state);
  item.append(
    element('span', 'direction', direction),
    element('span', 'name', name),
    element('span', 'status', state),
    element('span', 'facts', [detail, ...facts].filter(Boolean).join(' · ')),
  );
  return item;
}

function element(tag, name, text) {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

function write(id, text) {
  const target = at(id);
  if (target.textContent !== text) target.textContent = text;
}

function number(value, digits = 0) {
  return Number.isFinite(value) ? value.toFixed(digits) : '–';
}

function count(value) {
  return value.toLocaleString('en').replaceAll(',', '\u2009');
}

function plural(value, word) {
  return value ? `${count(value)} ${word}${value === 1 ? '' : 's'}` : '';
}
