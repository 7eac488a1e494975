'use strict';

const TITLES = { rgb: 'Photograph', instance: 'Instances', semantic: 'Semantic classes' };
const KINDS = { visible: 'Visible', predicted: 'Predicted', original: 'Original' };
const CURVES = { S: 'semantic', I: 'instance', R: 'random' };
const byId = (id) => document.getElementById(id);
const title = (name) => TITLES[name] || name;

let about; // what the model offers
let sample = null; // what the chosen image has
let query = null; // whose attention is shown: [row, column], a proxy's number, or null, the class token(s)
let busy = false; // a view is being drawn ...
let outdated = false; // ... and the controls have changed since

/** Make an element: text becomes text, never HTML, so names of files are harmless. */
function make(tag, attributes = {}, ...children) {
  const element = tag === 'svg' || tag === 'polyline' || tag === 'line' || tag === 'text' || tag === 'rect'
    ? document.createElementNS('http://www.w3.org/2000/svg', tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

async function ask(url, fields) {
  const options = fields && {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(fields),
  };
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new Error('The server does not answer: is it still running?');
  }
  const type = response.headers.get('Content-Type') || '';
  const answer = type.startsWith('application/json') ? await response.json() : {};
  if (!response.ok) throw new Error(answer.error || `The server answers ${response.status}`);
  return answer;
}

function showError(error) {
  byId('error').hidden = !error;
  byId('error').textContent = error ? error.message : '';
}

// Controls

function buildControls() {
  byId('about').textContent = `${about.label}: ${about.model}, ${about.grid.join(' × ')} patches, `
    + `pre-trained with ${about.num_visible} visible tokens`;
  byId('examples').append(...about.examples.map((example, index) => make(
    'button',
    { type: 'button', title: example.name, 'aria-pressed': 'false', onclick: () => choose({ example: index }) },
    make('img', { src: example.picture, alt: `Example ${example.name}` }),
  )));
  byId('uploads').append(...['rgb', ...about.uploads].map((name) => make(
    'label', { class: 'upload' }, name === 'rgb' ? 'Your photo' : `${name[0].toUpperCase()}${name.slice(1)} map`,
    make('input', {
      type: 'file',
      id: `file-${name}`,
      accept: name === 'rgb' ? 'image/*' : 'image/png',
      onchange: () => upload(name),
    }),
  )));
  if (about.uploads.length) {
    byId('uploads').append(make('p', { class: 'note' },
      'Maps are optional PNGs of ids with the size of the photo; without one, it is predicted.'));
  }
  byId('strategies').append(...Object.entries(about.strategies).map(([name, text]) => make(
    'label', { class: 'strategy' },
    make('input', { type: 'radio', name: 'strategy', value: name, checked: name === 'RD', onchange: changed }),
    text, make('small'),
  )));
  const patches = about.grid[0] * about.grid[1];
  byId('counts').append(...about.granularities.map((name) => make(
    'label', { class: 'slider' }, make('span', {}, title(name).split(' ')[0]),
    make('input', { type: 'range', id: `count-${name}`, min: 0, max: patches, step: 1, value: 0, oninput: changed }),
    make('output', { id: `count-${name}-value` }),
  )));
  byId('pixels').hidden = !about.normalises;
  byId('total').max = patches * about.granularities.length;
  byId('total').value = about.num_visible;
  for (const id of ['t', 'total', 'seed', 'target-stats']) byId(id).addEventListener('input', changed);
  for (const radio of document.getElementsByName('budget')) radio.addEventListener('change', changed);
  byId('again').addEventListener('click', () => {
    byId('seed').value = Number(byId('seed').value) + 1;
    changed();
  });
  if (about.class_tokens > 1) {
    byId('class-token').textContent = 'All proxies';
    byId('proxies').hidden = false;
    byId('proxies').append('Proxy', ...Array.from({ length: about.class_tokens }, (_, index) => make(
      'button', { type: 'button', 'aria-pressed': 'false', onclick: () => askFor(index) }, String(index),
    )));
  }
  byId('class-token').addEventListener('click', () => askFor(null));
  byId('controls').addEventListener('submit', (event) => event.preventDefault());
  drawCurve();
  labelControls();
}

const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
const x = (t) => 8 + 264 * t;
const y = (value) => 60 - 44 * value;

function drawCurve() {
  const curves = [['S', (row) => row[1]], ['I', (row) => row[2]], ['R', (row) => 1 - row[1] - row[2]]];
  byId('curve').append(
    make('line', { x1: x(0), x2: x(1), y1: y(0), y2: y(0), stroke: '#9aa3ad' }),
    ...curves.map(([name, value]) => make('polyline', {
      class: name, points: about.curriculum.map((row) => `${x(row[0])},${y(value(row))}`).join(' '),
    })),
    make('line', { id: 'now', y1: 10, y2: 60, stroke: '#1d232b', 'stroke-dasharray': '3 2' }),
    make('text', { x: 8, y: 72 }, 'first epoch'),
    make('text', { x: 272, y: 72, 'text-anchor': 'end' }, 'last epoch'),
  );
  for (const [name, value] of curves) {
    const heights = about.curriculum.map(value);
    const highest = Math.max(...heights);
    const t = about.curriculum[heights.indexOf(highest)][0];
    const anchor = t < 0.2 ? 'start' : t > 0.8 ? 'end' : 'middle';
    if (highest > 0) {
      byId('curve').append(make('text', { x: x(t), y: y(highest) - 4, class: name, 'text-anchor': anchor }, CURVES[name]));
    }
  }
}

/** Bring what is written beside the controls, and what is allowed, up to date. */
function labelControls() {
  const strategy = chosen('strategy');
  const drawn = chosen('budget') === 'drawn';
  const present = sample ? sample.present : about.granularities;
  for (const label of byId('strategies').children) {
    const input = label.querySelector('input');
    const obstacle = sample ? sample.obstacles[input.value] : undefined;
    input.disabled = Boolean(obstacle);
    label.classList.toggle('off', input.disabled);
    label.querySelector('small').textContent = obstacle || '';
  }
  byId('t').disabled = strategy !== 'curriculum';
  byId('t').parentElement.classList.toggle('off', strategy !== 'curriculum');
  byId('curve').classList.toggle('off', strategy !== 'curriculum');
  byId('t-value').textContent = Number(byId('t').value).toFixed(2);
  for (const end of ['x1', 'x2']) byId('now').setAttribute(end, x(byId('t').value));
  const patches = about.grid[0] * about.grid[1];
  byId('total').max = patches * present.length;
  byId('total').disabled = !drawn;
  byId('total-row').classList.toggle('off', !drawn);
  let sum = 0;
  for (const name of about.granularities) {
    const slider = byId(`count-${name}`);
    const missing = !present.includes(name);
    if (missing) slider.value = 0;
    slider.disabled = drawn || missing;
    slider.parentElement.classList.toggle('off', missing);
    byId(`count-${name}-value`).textContent = missing ? 'no map' : `${slider.value} / ${patches}`;
    sum += Number(slider.value);
  }
  if (!drawn) byId('total').value = sum;
  byId('total-value').textContent = `${drawn ? byId('total').value : sum} / ${patches * about.granularities.length}`;
  const asked = drawn ? Number(byId('total').value) : sum;
  byId('budget-note').textContent = (drawn ? 'Shares come from a Dirichlet distribution. ' : '')
    + (asked === about.num_visible ? '' : `Pre-trained with ${about.num_visible}: this is outside its training.`);
}

function changed() {
  labelControls();
  refresh();
}

// Images

async function choose(fields) {
  try {
    sample = await ask('api/samples', fields);
  } catch (error) {
    showError(error);
    return false;
  }
  [...byId('examples').children].forEach((button, index) => {
    button.setAttribute('aria-pressed', String(index === fields.example));
  });
  query = null;
  if (sample.obstacles[chosen('strategy')]) document.querySelector('input[value=RD]').checked = true;
  byId('total').value = about.num_visible;
  changed();
  return true;
}

function readFile(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ name: file.name, data: reader.result.slice(reader.result.indexOf(',') + 1) });
    reader.onerror = () => reject(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });
}

async function upload(changedName) {
  // Maps of an earlier photograph do not belong to a new one.
  if (changedName === 'rgb') for (const name of about.uploads) byId(`file-${name}`).value = '';
  const files = {};
  try {
    for (const name of ['rgb', ...about.uploads]) {
      const [file] = byId(`file-${name}`).files;
      if (file) files[name] = await readFile(file);
    }
  } catch (error) {
    showError(error);
    return;
  }
  if (!files.rgb && !Object.keys(files).length) return;
  if (!await choose({ files })) byId(`file-${changedName}`).value = '';
}

// Views

function settings() {
  const counts = about.granularities.map((name) => [name, Number(byId(`count-${name}`).value)]);
  return {
    sample: sample.key,
    strategy: chosen('strategy'),
    t: Number(byId('t').value),
    visible: chosen('budget') === 'drawn' ? null : Object.fromEntries(counts),
    total: Number(byId('total').value),
    seed: Math.max(0, Math.floor(Number(byId('seed').value) || 0)),
    query,
    target_stats: byId('target-stats').checked,
  };
}

/** Draw the newest state; while one is drawn, later ones wait and only the last is drawn. */
async function refresh() {
  if (!sample) return;
  outdated = true;
  if (busy) return;
  busy = true;
  byId('views').classList.add('stale');
  while (outdated) {
    outdated = false;
    const asked = sample.key;
    try {
      const view = await ask('api/views', settings());
      if (asked === sample.key) show(view);
      showError(null);
    } catch (error) {
      if (!outdated) showError(error);
    }
  }
  busy = false;
  byId('views').classList.remove('stale');
}

function show(view) {
  byId('welcome').hidden = true;
  if (!byId('views').children.length) buildViews();
  byId('views').hidden = false;
  const patches = about.grid[0] * about.grid[1];
  for (const name of about.granularities) {
    const seen = view.visible[name];
    if (chosen('budget') === 'drawn') byId(`count-${name}`).value = seen;
    setPicture(name, 'visible', view.pictures[name].visible, `${seen} of ${patches} tokens`,
      `${title(name)}: ${seen} of ${patches} patches are visible, the others grey`);
    setPicture(name, 'predicted', view.pictures[name].predicted, losses(view.losses[name], seen < patches),
      `${title(name)}: visible patches and the model's prediction of the others`);
    setPicture(name, 'original', view.pictures[name].original, name === 'rgb' ? sample.name : '',
      `${title(name)}: the original`);
    if (view.legends[name]) showLegend(name, view.legends[name]);
  }
  const [alphaS, alphaI] = view.alphas.map((value) => value.toFixed(2));
  byId('alphas').textContent = `${alphaS} semantic + ${alphaI} instance + `
    + `${Math.abs(1 - view.alphas[0] - view.alphas[1]).toFixed(2)} random`;
  const [fromS, fromI, fromR] = view.shares.map((value) => `${(100 * value).toFixed(0)} %`);
  byId('masked-by').textContent = `In this mask: ${fromS} semantic, ${fromI} instance, ${fromR} random.`
    + (view.objects_hidden ? ' No token of an object is visible.' : '');
  byId('rgb-heading').textContent = !about.normalises ? '' : byId('target-stats').checked
    ? "predicted pixels are un-normalised with the target patches' mean and deviation"
    : 'predicted pixels are the raw normalised output, around the mean colour';
  const patch = Array.isArray(query);
  const who = nameOf(query);
  setPicture('rgb', 'attention', view.attention, who, `Attention of the ${who} to the whole photograph`);
  byId('peak').textContent = `The lightest colour is ${view.peak.toFixed(1)} × even attention.`;
  byId('class-token').disabled = query === null;
  byId('proxies').querySelectorAll('button').forEach((button, index) => {
    button.setAttribute('aria-pressed', String(index === query));
  });
  document.querySelectorAll('.mark').forEach((mark) => {
    mark.hidden = !patch;
    if (!patch) return;
    const [height, width] = about.grid.map((n) => 100 / n);
    Object.assign(mark.style, {
      top: `${query[0] * height}%`, left: `${query[1] * width}%`, width: `${width}%`, height: `${height}%`,
    });
  });
  byId('status').textContent = `updated in ${view.seconds.toFixed(2)} s`;
  labelControls();
}

const losses = (values, masked) => Object.entries(values).map(([task, value]) => {
  const name = Object.keys(values).length > 1 ? `${task} ` : '';
  const none = masked ? 'no target' : 'nothing masked';
  return value === null ? none : `${name}loss ${value.toFixed(3)}`;
}).filter((text, index, all) => all.indexOf(text) === index).join(', ');

function buildViews() {
  about.granularities.forEach((name, row) => {
    byId('views').append(make('h2', {}, title(name), make('small', { id: `${name}-heading` })));
    for (const kind of Object.keys(KINDS)) byId('views').append(buildFigure(name, kind, KINDS[kind]));
    if (row === 0) {
      byId('views').append(buildFigure(name, 'attention', 'Attention'));
    } else {
      byId('views').append(make('ul', { class: 'legend', id: `legend-${name}`, 'aria-label': `Colours of ${title(name)}` }));
    }
  });
}

function buildFigure(name, kind, heading) {
  const id = `${name}-${kind}`;
  const keys = kind === 'attention'
    ? { tabindex: 0, onkeydown: moveQuery, title: 'Click a patch, or use the arrow keys; Escape: class token' }
    : {};
  return make('figure', {},
    make('figcaption', {}, make('b', {}, heading), ' ', make('span', { id: `${id}-note` })),
    make('div', { class: 'frame pick', id: `${id}-frame`, onclick: pick, ...keys },
      make('img', { id }),
      make('div', { class: 'none', id: `${id}-none` }, 'no map'),
      make('div', { class: 'mark', hidden: true })));
}

function setPicture(name, kind, picture, note, alt) {
  const image = byId(`${name}-${kind}`);
  image.hidden = !picture;
  byId(`${name}-${kind}-none`).hidden = Boolean(picture);
  if (picture) image.src = picture;
  image.alt = alt;
  byId(`${name}-${kind}-note`).textContent = note;
}

function showLegend(name, entries) {
  const list = byId(`legend-${name}`);
  list.classList.toggle('few', entries.length < 9);
  list.replaceChildren(...entries.map(([label, colour]) => make('li', {},
    make('svg', { width: 14, height: 12 }, make('rect', {
      width: 14, height: 12, fill: `rgb(${colour.join(',')})`, stroke: '#777',
    })), label)));
}

// Whose attention

function nameOf(who) {
  if (Array.isArray(who)) return `patch (${who.join(', ')})`;
  if (who !== null) return `proxy ${who}`;
  return about.class_tokens > 1 ? 'proxies (mean)' : 'class token';
}

function askFor(who) {
  query = who;
  refresh();
}

function pick(event) {
  const box = event.currentTarget.getBoundingClientRect();
  const place = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
  askFor(place.map((share, axis) => Math.min(about.grid[axis] - 1, Math.max(0, Math.floor(share * about.grid[axis])))));
}

function moveQuery(event) {
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  if (event.key === 'Escape') return askFor(null);
  if (!steps[event.key]) return undefined;
  event.preventDefault();
  const from = Array.isArray(query) ? query : about.grid.map((n) => Math.floor(n / 2));
  return askFor(from.map((place, axis) => Math.min(about.grid[axis] - 1, Math.max(0, place + steps[event.key][axis]))));
}

ask('api/model').then((answer) => {
  about = answer;
  buildControls();
  if (about.examples.length) choose({ example: 0 });
}).catch(showError);
