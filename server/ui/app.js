'use strict';

const byId = (id) => document.getElementById(id);
const results = byId('results');
const MOST_AT_ONCE = 4;
let last = []; // the files shown, newest request first
let round = 0; // a newer choice makes answers of older ones void

function mode() {
  return document.querySelector('input[name=mode]:checked').value;
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
    card.classList.toggle('small', Math.max(image.naturalWidth, image.naturalHeight) < 100);
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
  const t = answer.timing_ms;
  const ms = (v) => v.toFixed(v < 10 ? 2 : 0);
  card.querySelector('.timing').textContent =
    `${answer.model}, ${answer.image.width} × ${answer.image.height}, ` +
    `${answer.views} view${answer.views === 1 ? '' : 's'}: ` +
    `decode ${ms(t.decode)} + prepare ${ms(t.prepare)} + queue ${ms(t.queue)} + ` +
    `infer ${ms(t.infer)}, ${ms(t.total)} ms in all`;
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
    const reply = await fetch(`/classify?mode=${mode()}${windows ? '&heatmap=top1' : ''}`, {
      method: 'POST', body: blob, headers: { 'Content-Type': 'image/jpeg' },
    });
    const answer = await reply.json();
    if (mine !== round) return;
    if (!reply.ok) {
      showFailure(card, answer.error);
      return;
    }
    showAnswer(card, answer, note);
    if (answer.heatmap) await showHeat(card, blob, answer.heatmap);
  } catch (e) {
    if (mine === round) showFailure(card, e.message || String(e));
  }
}

async function show(files) {
  const mine = ++round;
  last = files;
  results.replaceChildren();
  say(files.length ? '' : 'There was no picture in that.');
  byId('shell').hidden = files.length === 0;
  byId('curl').textContent =
    `curl --data-binary @picture.jpg '${location.origin}/classify?mode=${mode()}'`;
  const waiting = [...files];
  const worker = async () => {
    while (waiting.length && mine === round) await classify(waiting.shift(), mine);
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
  await navigator.clipboard.writeText(byId('curl').textContent);
  byId('copy').textContent = 'Copied';
  setTimeout(() => { byId('copy').textContent = 'Copy'; }, 1500);
});

fetch('/readyz').then(
  (r) => { byId('state').textContent = r.ok ? 'ready' : 'not ready yet'; },
  () => { byId('state').textContent = 'the server does not answer'; },
);
