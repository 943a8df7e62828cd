// Wires the page: what comes over the WebSocket goes to the player, the screen, the figures, the graph and the buttons.

import { Buttons } from './buttons.js';
import { Connection } from './connection.js';
import { showFigures, tone } from './figures.js';
import { Graph } from './graph.js';
import { Player } from './player.js';
import { Screen } from './screen.js';

const FROZEN_MS = 3000; // pictures come and none is shown for so long: begin anew
const NOTICE_MS = 8000;

const at = (id) => document.getElementById(id);
const video = at('video'), stage = at('stage'), veil = at('veil');
let fedAt = 0, shownAt = 0, noticeTimer;

const graph = new Graph(at('graph'));
const screen = new Screen({ video, canvas: at('screen'), stage, divider: at('divider') }, () => {
  shownAt = performance.now();
  if (connection.isOpen) veil.hidden = true;
});
const player = new Player(video, {
  broken: () => setTimeout(beginAnew, 1000),
  refused: () => cover('Ready', 'Click the picture to play it.'),
});
const buttons = new Buttons({ screen, full: at('full'), say, listen: beginAnew });
const connection = new Connection({
  opened: () => {
    if (!veil.hidden) cover('Waiting for the picture', '');
    if (buttons.listening) beginAnew();
  },
  told: (message) => ({ session: greet, picture: begin, stats: show })[message.type](message),
  fed: (bytes) => {
    fedAt = performance.now();
    player.append(bytes);
  },
  lost: (reason) => {
    setState('Connection lost', 'bad');
    cover('Connection lost', `${reason || 'The server does not answer.'} Trying again…`);
  },
  forbidden: () => cover('This page is locked out', 'Open the address that lipt-stream printed when it started.'),
});
stage.addEventListener('click', () => { if (video.paused) player.play(); });

function greet({ history }) {
  graph.recall(history);
}

/** A picture starts, at first or anew. */
function begin(picture) {
  if (!Player.plays(picture.mime)) {
    player.stop();
    cover('This browser cannot play the picture', `It lacks ${picture.mime}.`);
    return;
  }
  fedAt = shownAt = performance.now();
  screen.compose(picture);
  buttons.showSound(picture);
  video.muted = !(picture.sound && buttons.listening);
  player.start(picture);
  const { source, result, scale } = picture;
  at('before-label').textContent = `Source ${source.width}×${source.height}, bicubic`;
  at('after-size').textContent = `${result.width}×${result.height}, ×${scale}`;
}

/** Asks for the picture from its next keyframe on, with sound where that is wanted. */
function beginAnew() {
  connection.send({ sound: buttons.listening });
}

function show(stats) {
  setState(stats.paused ? 'Paused' : capitalised(stats.state), stats.paused ? 'wait' : tone(stats.state));
  showFigures(stats);
  at('after-model').textContent = stats.rung ?? '';
  at('slack').textContent = player.slack === undefined ? '–' : String(Math.max(0, Math.round(player.slack * 1000)));
  buttons.show(stats);
  graph.add(stats);
  const now = performance.now();
  if (!document.hidden && !video.paused && now - fedAt < 1000 && now - shownAt > FROZEN_MS) beginAnew();
}

function setState(text, mood) {
  at('state').dataset.tone = mood;
  at('state-text').textContent = text;
  document.title = `${text} · lipt-stream`;
}

/** Words over the picture, which stays as it was underneath. */
function cover(title, detail) {
  veil.hidden = false;
  at('veil-title').textContent = title;
  at('veil-detail').textContent = detail;
}

/** One line below the picture, for a while. */
function say(text, isError = false) {
  at('notice').textContent = text;
  at('notice').dataset.tone = isError ? 'bad' : 'good';
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => { at('notice').textContent = ''; }, NOTICE_MS);
}

function capitalised(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
