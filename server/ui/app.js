'use strict';

const byId = (id) => document.getElementById(id);
const results = byId('results');
const MOST_AT_ONCE = 4;
let last = []; // the files shown, newest request first
let round = new AbortController(); // a newer choice ends the requests of older ones

function mode() {
  return document.querySelector('input[name=mode]:checked').value;
}

// The server tests as the query says; a heatmap has to be asked of a mode that has one.
function query() {
  return mode() === 'auto' ? `mode=auto&budget_ms=${byId('budget').value}` : `mode=${mode()}`;
}

function say(text) {
  byId('message').textContent = text;
}

async function isJpeg(blob) {
  const b = new Uint8Array(await blob.slice(0, 3).arrayBuffer());
  return b[0] === 0xff && b[1] === 0xd8 && b[2] === 0xff;
}

// JPEGs go as they are. What the browser can show otherwise is drawn, upright and on white.
async function asJpeg(file) {
  if (await isJpeg(file)) return { blob: file, note: '' };
  const picture = await createImageBitmap(file, { imageOrientation: 'from-image' });
  const canvas = document.createElement('canvas');
  canvas.width = picture.width;
  canvas.height = picture.height;
  const pen = canvas.getContext('2d');
  pen.fillStyle = '#fff';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0);
  picture.close();
  const blob = await new Promise((done) => canvas.toBlob(done, 'image/jpeg', 0.95));
  if (!blob) throw new Error('the browser could not turn this picture into a JPEG');
  return { blob, note: 'Turned into a JPEG (quality 95) in the browser before sending.' };
}

function makeCard(file) {
  const card = byId('card').content.firstElementChild.cloneNode(true);
  const image = card.querySelector('img');
  const url = URL.createObjectURL(file);
  image.addEventListener('load', () => {
    image.classList.toggle('small', Math.max(image.naturalWidth, image.naturalHeight) < 100);
    URL.revokeObjectURL(url);
  });
  image.addEventListener('error', () => URL.revokeObjectURL(url));
  image.src = url;
  image.alt = file.name;
  card.querySelector('h2').textContent = file.name || 'pasted picture';
  results.append(card);
  return card;
}

function showFailure(card, text) {
  const p = document.createElement('p');
  p.className = 'failed';
  p.textContent = text;
  card.querySelector('.bars').replaceWith(p);
  card.querySelector('.timing').textContent = '';
}

// Where the time went: a bar of the parts, and their numbers.
function showTiming(card, answer) {
  const t = answer.timing_ms;
  const ms = (v) => v.toFixed(v < 10 ? 2 : 0);
  const split = card.querySelector('.split');
  const timing = card.querySelector('.timing');
  timing.textContent = '';
  for (const part of ['decode', 'prepare', 'queue', 'infer']) {
    const bar = document.createElement('span');
    const dot = document.createElement('span');
    const text = document.createElement('span');
    bar.className = part;
    bar.style.flexGrow = t[part];
    split.append(bar);
    dot.className = `dot ${part}`;
    text.className = 'part';
    text.append(dot, `${part} ${ms(t[part])} ms`);
    timing.append(text, ' ');
  }
  split.hidden = false;
  const views = `${answer.views} view${answer.views === 1 ? '' : 's'}`;
  timing.append(document.createElement('br'), `${ms(t.total)} ms in all; ${answer.model}, ` +
    `${answer.image.width} × ${answer.image.height}, ${answer.mode}, ${views}`);
  const a = answer.auto;
  if (a) {
    timing.append(document.createElement('br'), `Chosen for ${a.budget_ms} ms: ${answer.mode}, ` +
      `predicted ${ms(a.predicted_ms)} ms${a.fits ? '' : '; nothing is faster'}`);
  }
}

function showAnswer(card, answer, note) {
  const list = card.querySelector('.bars');
  for (const p of answer.predictions) {
    const li = document.createElement('li');
    const label = document.createElement('span');
    const track = document.createElement('span');
    const fill = document.createElement('span');
    const score = document.createElement('span');
    label.className = 'label';
    label.textContent = p.label || p.id || `class ${p.class}`;
    label.title = label.textContent;
    track.className = 'track';
    fill.className = 'fill';
    fill.style.width = `${(p.score * 100).toFixed(2)}%`;
    track.append(fill);
    score.className = 'score';
    score.textContent = `${(p.score * 100).toFixed(1)} %`;
    li.append(label, track, score);
    list.append(li);
  }
  showTiming(card, answer);
  card.querySelector('.note').textContent = note;
}

// The scores of windows over the picture, as the server paints them: blue, yellow, red.
async function showHeat(card, blob, heat) {
  const picture = await createImageBitmap(blob, { imageOrientation: 'from-image' });
  const scale = Math.min(1, 512 / Math.max(picture.width, picture.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const map = document.createElement('canvas');
  map.width = heat.cols;
  map.height = heat.rows;
  const ramp = [[0, 0, 160], [0, 160, 255], [255, 220, 0], [255, 0, 0]];
  const pixels = map.getContext('2d').createImageData(heat.cols, heat.rows);
  const most = heat.scores.reduce((a, b) => Math.max(a, b), 0) || 1;
  heat.scores.forEach((score, k) => {
    const v = score / most;
    const i = Math.min(2, Math.floor(v * 3));
    for (let c = 0; c < 3; c++) {
      pixels.data[4 * k + c] = ramp[i][c] + (v * 3 - i) * (ramp[i + 1][c] - ramp[i][c]);
    }
    pixels.data[4 * k + 3] = 255 * 0.7 * Math.sqrt(v);
  });
  map.getContext('2d').putImageData(pixels, 0, 0);
  const pen = canvas.getContext('2d');
  const [x0, y0, x1, y1] = heat.box.map((v) => v * scale);
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  pen.imageSmoothingQuality = 'high';
  pen.drawImage(map, x0, y0, x1 - x0, y1 - y0);
  picture.close();
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', `where ${heat.label || heat.id || `class ${heat.class}`} scores`);
  canvas.title = canvas.getAttribute('aria-label');
  card.querySelector('img').after(canvas);
}

async function classify(file, mine) {
  const card = makeCard(file);
  try {
    const { blob, note } = await asJpeg(file);
    const windows = mode() === 'dense' || mode() === 'multiscale';
    const reply = await fetch(`/classify?${query()}${windows ? '&heatmap=top1' : ''}`, {
      method: 'POST', body: blob, headers: { 'Content-Type': 'image/jpeg' }, signal: mine.signal,
    });
    const answer = await reply.json();
    if (!reply.ok) {
      showFailure(card, answer.error);
      return;
    }
    showAnswer(card, answer, note);
    if (answer.heatmap) await showHeat(card, blob, answer.heatmap);
  } catch (e) {
    if (!mine.signal.aborted) showFailure(card, e.message || String(e));
  }
}

// A word for a POSIX shell.
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

async function show(files) {
  round.abort();
  const mine = round = new AbortController();
  last = files;
  if (mode() === 'auto' && !byId('budget').checkValidity()) {
    say('The budget is a whole number of milliseconds, 1 to 3600000.');
    return;
  }
  results.replaceChildren();
  results.classList.toggle('several', files.length > 1);
  say(files.length ? '' : 'There was no picture in that.');
  byId('shell').hidden = files.length === 0;
  const name = files.length ? quoted(`@${files[0].name || 'picture.jpg'}`) : '';
  byId('curl').textContent =
    `curl --data-binary ${name} ${quoted(`${location.origin}/classify?${query()}`)}`;
  const waiting = [...files];
  const worker = async () => {
    while (waiting.length && !mine.signal.aborted) await classify(waiting.shift(), mine);
  };
  await Promise.all(Array.from({ length: MOST_AT_ONCE }, worker));
}

function take(list) {
  const files = [...list].filter((f) => f.type.startsWith('image/'));
  const others = list.length - files.length;
  show(files);
  if (others && files.length) say(`${others} of the files ${others === 1 ? 'is' : 'are'} no picture.`);
}

byId('file').addEventListener('change', (e) => {
  take(e.target.files);
  e.target.value = '';
});
byId('budget').addEventListener('input', () => {
  document.querySelector('input[value=auto]').checked = true;
});
byId('modes').addEventListener('change', () => last.length && show(last));
for (const name of ['dragover', 'dragenter']) {
  document.addEventListener(name, (e) => {
    e.preventDefault();
    byId('drop').classList.add('over');
  });
}
document.addEventListener('dragleave', (e) => {
  if (!e.relatedTarget) byId('drop').classList.remove('over');
});
document.addEventListener('drop', (e) => {
  e.preventDefault();
  byId('drop').classList.remove('over');
  take(e.dataTransfer.files);
});
document.addEventListener('paste', (e) => {
  if (e.clipboardData.files.length) take(e.clipboardData.files);
});
byId('copy').addEventListener('click', async () => {
  try { // absent or refused where the page came neither over HTTPS nor from this machine
    await navigator.clipboard.writeText(byId('curl').textContent);
    byId('copy').textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(byId('curl'));
    byId('copy').textContent = 'Selected: press Ctrl+C';
  }
  setTimeout(() => { byId('copy').textContent = 'Copy'; }, 2500);
});

fetch('/readyz').then(
  (r) => { byId('state').textContent = r.ok ? 'ready' : 'not ready yet'; },
  () => { byId('state').textContent = 'the server does not answer'; },
);
