'use strict'
const $ = id => document.getElementById(id), D = JSON.parse($('data').textContent)
const VOID = 65535, TOP = 65534, several = D.classes.length > 2
const NAMES = { image: 'Image', probability: several ? 'Probability of the class' : 'Probability', mask: several ? 'Map' : 'Map at the threshold', stored: 'Map as stored', error: 'Errors', truth: 'Labels' }
const state = { scene: 0, step: D.scenes[0].stored, left: '', right: '', split: .5, place: 0, k: 1, x: 0, y: 0 }
let S = null, drawn = 0, turn = 0

// numbers
const percent = x => Number.isFinite(x) ? (100*x).toFixed(2) + ' %' : '–'
const short = x => Number.isFinite(x) ? x.toFixed(4) : '–'
const count = x => x.toLocaleString('en-US')
const many = x => x >= 1e6 ? (x/1e6).toFixed(2) + ' M' : x >= 1e4 ? Math.round(x/1e3) + ' k' : count(x)
const sums = a => { let v = 0; return a.map((d, i) => v = i ? v - d : d) }
const levelOf = t => { const near = Math.round(t*TOP); return near/TOP >= t ? near : near + 1 }
const rates = (tp, fp, p, n) => ({ iou: tp/(p + fp), accuracy: (tp + n - fp)/(p + n), precision: tp + fp ? tp/(tp + fp) : 1, recall: tp/p, fpr: fp/n })

// elements
const make = (name, set = {}, ...inside) => { const e = document.createElement(name); Object.assign(e, set); e.append(...inside); return e }
const shape = (name, set, ...inside) => {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const k in set) e.setAttribute(k, set[k])
  e.append(...inside)
  return e
}
const tinted = (e, color) => { e.style.setProperty('--c', color); return e }
const rgb = c => `rgb(${c.join()})`
const packed = (c, alpha = 255) => (alpha << 24 | c[2] << 16 | c[1] << 8 | c[0]) >>> 0

// what a scene holds
async function inflate(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length)
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i)
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'))).arrayBuffer())
}
function joined(bytes) {
  const n = bytes.length/2, x = new Uint16Array(n)
  for (let i = 0; i < n; i++) x[i] = bytes[i] << 8 | bytes[n + i]
  return x
}
async function open(i) {
  const s = D.scenes[i]
  const [levels, mask, label] = await Promise.all([s.levels, s.mask, s.label].map(t => t && inflate(t)))
  const image = s.image && await new Promise((ok, bad) => { const e = new Image(); e.onload = () => ok(e); e.onerror = bad; e.src = s.image })
  const whole = joined(levels)
  return { ...s, levels: whole, mask, label, image: image && clipped(image, whole, s.w, s.h), canvas: {}, done: {} }
}
function filled(w, h, color) {
  const c = make('canvas', { width: w, height: h }), g = c.getContext('2d'), picture = g.createImageData(w, h), x = new Uint32Array(picture.data.buffer)
  for (let i = 0; i < x.length; i++) x[i] = color(i)
  g.putImageData(picture, 0, 0)
  return c
}
function clipped(image, levels, w, h) {
  const c = filled(w, h, i => levels[i] === VOID ? 0 : 0xffffffff), g = c.getContext('2d')
  g.globalCompositeOperation = 'source-in'
  g.drawImage(image, 0, 0, w, h)
  return c
}

// layers
const ramp = Array.from({ length: 256 }, (_, i) => {
  const at = i/255*(D.ramp.length - 1), j = Math.min(Math.floor(at), D.ramp.length - 2)
  return packed(D.ramp[j].map((v, c) => Math.round(v + (at - j)*(D.ramp[j + 1][c] - v))))
})
const tint = D.classes.map((c, i) => i || several ? packed(c.color) : 0)
const hit = packed(D.colors.hit), wrong = packed(D.colors.false), missed = packed(D.colors.missed), clear = 0
const painters = {
  probability: s => { const { levels } = s; return i => levels[i] === VOID ? clear : ramp[levels[i]*255/TOP + .5 | 0] },
  mask: s => {
    if (several) return i => s.mask[i] === 255 ? clear : tint[s.mask[i]]
    const cut = levelOf(D.steps[state.step]), { levels } = s
    return i => levels[i] >= cut && levels[i] !== VOID ? tint[1] : clear
  },
  stored: s => i => s.mask[i] === 255 ? clear : tint[s.mask[i]],
  truth: s => i => s.label[i] === 255 ? clear : tint[s.label[i]],
  error: s => {
    const cut = levelOf(D.steps[state.step]), { levels, label, mask } = s
    if (several) return i => label[i] === 255 || mask[i] === 255 || label[i] === mask[i] ? clear : wrong
    return i => {
      if (label[i] === 255 || levels[i] === VOID) return clear
      return levels[i] >= cut ? label[i] ? hit : wrong : label[i] ? missed : clear
    }
  }
}
const layersOf = s => [s.image && 'image', 'probability', 'mask', s.mask && !several && 'stored', s.label && 'error', s.label && 'truth'].filter(Boolean)
function canvasOf(name) {
  const key = `${name}${several || !['mask', 'error'].includes(name) ? '' : state.step}`
  if (S.done[name] === key) return S.canvas[name]
  S.canvas[name]?.remove()
  const c = S.canvas[name] = filled(S.w, S.h, painters[name](S))
  c.id = `layer-${name}`
  $('layers').append(c)
  S.done[name] = key
  return c
}

// the view
const stage = $('stage'), view = $('view')
const fitHeight = () => { stage.style.height = `${Math.max(260, Math.min(innerHeight*.74, stage.clientWidth*S.h/S.w))}px` }
const fit = () => Math.min(stage.clientWidth/S.w, stage.clientHeight/S.h)
function clamp() {
  state.k = Math.min(Math.max(state.k, fit()), 32)
  for (const [a, n, room] of [['x', S.w, stage.clientWidth], ['y', S.h, stage.clientHeight]]) {
    const size = n*state.k
    state[a] = size <= room ? (room - size)/2 : Math.min(0, Math.max(room - size, state[a]))
  }
  stage.style.touchAction = state.k > fit()*1.01 ? 'none' : 'pan-y'
}
function showAll() { state.k = 0; redraw() }
function zoom(by, x = stage.clientWidth/2, y = stage.clientHeight/2) {
  const before = state.k
  state.k = Math.min(Math.max(state.k*by, fit()), 32)
  state.x = x - (x - state.x)*state.k/before
  state.y = y - (y - state.y)*state.k/before
  redraw()
}
function lookAt(row, col, side) {
  state.k = Math.min(stage.clientWidth, stage.clientHeight)/(1.6*side/S.every)
  state.x = stage.clientWidth/2 - (col + side/2)/S.every*state.k
  state.y = stage.clientHeight/2 - (row + side/2)/S.every*state.k
  redraw()
}
function pane(g, name, from, to) {
  g.save()
  g.beginPath(); g.rect(from, 0, to - from, stage.clientHeight); g.clip()
  g.translate(state.x, state.y); g.scale(state.k, state.k)
  g.imageSmoothingEnabled = state.k*devicePixelRatio < 1.5
  g.imageSmoothingQuality = 'high'
  if (S.image) g.drawImage(S.image, 0, 0, S.w, S.h)
  if (name !== 'image') { g.globalAlpha = S.image ? +$('opacity').value : 1; g.drawImage(canvasOf(name), 0, 0) }
  g.restore()
}
function paint() {
  drawn = 0
  fitHeight(); clamp()
  const w = stage.clientWidth, h = stage.clientHeight, r = devicePixelRatio || 1, g = view.getContext('2d'), at = Math.round(w*state.split)
  view.width = Math.round(w*r); view.height = Math.round(h*r)
  g.setTransform(r, 0, 0, r, 0, 0)
  pane(g, state.left, 0, at)
  pane(g, state.right, at, w)
  $('swipe').style.left = `${100*state.split}%`
}
function redraw() { if (!drawn && S) drawn = requestAnimationFrame(paint) }
function split(to) {
  state.split = Math.min(1, Math.max(0, to))
  $('swipe').setAttribute('aria-valuenow', Math.round(100*state.split))
  redraw()
}
function keys() {
  const shown = new Set([state.left, state.right]), list = []
  const key = (text, color) => list.push(tinted(make('span', {}, text), color))
  if (several ? ['mask', 'truth'].some(n => shown.has(n)) : ['mask', 'stored', 'truth'].some(n => shown.has(n))) D.classes.forEach((c, i) => (i || several) && key(c.name, rgb(c.color)))
  if (shown.has('error')) {
    if (several) key('wrong', rgb(D.colors.false))
    else for (const [n, text] of [['hit', 'found'], ['false', 'wrongly found'], ['missed', 'missed']]) key(text, rgb(D.colors[n]))
  }
  if (shown.has('probability')) {
    const e = make('span', { className: 'scale' }, '0 – 1')
    e.style.setProperty('--ramp', D.ramp.map(rgb).join())
    list.push(e)
  }
  $('legend').replaceChildren(...list)
}
function pick(side, name) {
  state[side] = $(side).value = name
  $(`name-${side}`).textContent = NAMES[name]
  keys(); redraw()
}

// the threshold
const here = s => s.counts
const pooled = i => {
  const all = D.scenes.filter(here).map(s => s.counts), sum = k => all.reduce((a, c) => a + (Array.isArray(c[k]) ? c[k][i] : c[k]), 0)
  return rates(sum('tp'), sum('fp'), sum('p'), sum('n'))
}
function at(c, t) {
  if (c.t === D.steps) return rates(c.tp[state.step], c.fp[state.step], c.p, c.n)
  let j = c.t.findIndex(v => v <= t)
  if (j < 0) j = c.t.length - 1
  const i = Math.max(0, j - 1), w = c.t[i] > c.t[j] ? Math.min(1, Math.max(0, (t - c.t[j])/(c.t[i] - c.t[j]))) : 0
  const mix = k => c[k][j] + w*(c[k][i] - c[k][j])
  return rates(mix('tp'), mix('fp'), c.p, c.n)
}
const places = several ? [{ name: 'all validation scenes', classes: D.perClass }, ...D.places] : [{ name: 'validation scenes', curve: D.curve }, ...D.groups.map(g => ({ name: g.name, curve: g }))]
const place = () => places[state.place] || places[0]
const told = () => S.counts || (several ? null : place().curve)
function figures() {
  const t = D.steps[state.step], c = told(), r = c && at(c, t), rows = []
  $('t').textContent = t.toFixed(4).replace(/(\.\d{3})0$/, '$1')
  $('t').dataset.value = t
  $('threshold').setAttribute('aria-valuetext', t.toFixed(4))
  $('iou').textContent = r ? short(r.iou) : '–'
  $('iou').dataset.value = r ? r.iou : ''
  $('iou-name').textContent = S.counts ? `IoU of ${D.classes[1].name} on the labels of this scene${S.cleaned ? ', before clean-up' : ''}` : c ? `IoU of ${D.classes[1].name} on ${state.place ? place().name : 'the model’s validation scenes'}; this scene has no labels` : 'no labels and no validation curve: no IoU'
  if (S.cleaned && S.iou !== null && state.step === S.stored) $('iou-name').textContent += `; ${short(S.iou)} of the cleaned map as stored`
  const share = S.above[state.step]/S.valid
  const row = (id, name, text, value) => rows.push(make('dt', {}, name), (e => { e.id = id; e.dataset.value = value; return e })(make('dd', {}, text)))
  row('share', 'mapped in this scene', percent(share), share)
  if (S.area) row('area', 'area', areaText(share*S.area), share*S.area)
  if (r) for (const k of ['precision', 'recall', 'accuracy']) row(k, k, percent(r[k]), r[k])
  if (S.counts) {
    row('hits', 'found', many(S.counts.tp[state.step]) + ' px', S.counts.tp[state.step])
    row('false', 'wrongly found', many(S.counts.fp[state.step]) + ' px', S.counts.fp[state.step])
    row('missed', 'missed', many(S.counts.p - S.counts.tp[state.step]) + ' px', S.counts.p - S.counts.tp[state.step])
  }
  if (D.scenes.filter(here).length > 1) { const p = pooled(state.step); row('iou-all', `IoU, all ${D.scenes.filter(here).length} labeled scenes${D.scenes.some(s => here(s) && s.cleaned) ? ', before clean-up' : ''}`, short(p.iou), p.iou) }
  $('facts').replaceChildren(...rows)
}
const digits = x => x >= 100 ? Math.round(x).toLocaleString('en-US') : String(+x.toPrecision(3))
const areaText = a => a >= 1e6 ? digits(a/1e6) + ' km²' : a >= 1e4 ? digits(a/1e4) + ' ha' : digits(a) + ' m²'
function move(step) {
  state.step = Math.min(D.steps.length - 1, Math.max(0, Math.round(step)))
  $('threshold').value = state.step
  figures(); marks.forEach(m => m()); redraw()
}
const bestStep = c => c.tp.reduce((best, tp, i) => tp/(c.p + c.fp[i]) > c.tp[best]/(c.p + c.fp[best]) ? i : best, 0)

// curves
const marks = [], X = v => 34 + v*276, Y = v => 196 - v*180
function chart(title, note, xlabel, lines, extra = []) {
  const svg = shape('svg', { viewBox: '0 0 320 232', role: 'img', 'aria-label': `${title}: ${xlabel}` })
  for (const v of [0, .25, .5, .75, 1]) {
    svg.append(shape('path', { class: 'grid', d: `M${X(0)} ${Y(v)}H${X(1)}M${X(v)} ${Y(0)}V${Y(1)}` }), shape('text', { x: 28, y: Y(v) + 4, 'text-anchor': 'end' }, String(v)), shape('text', { x: X(v), y: 211, 'text-anchor': 'middle' }, String(v)))
  }
  svg.append(shape('text', { x: X(.5), y: 228, 'text-anchor': 'middle' }, xlabel), ...extra)
  const names = make('div', { className: 'keys' })
  for (const l of lines) {
    svg.append(tinted(shape('path', { class: `line ${l.kind || ''}`, d: path(l.points) }), l.color))
    if (l.name) names.append(tinted(make('span', { className: l.kind || '' }, l.name), l.color))
  }
  for (const l of lines.filter(l => l.spot)) {
    const dot = tinted(shape('circle', { class: 'dot', r: 5 }), l.color)
    marks.push(() => { const [x, y] = l.spot(); dot.toggleAttribute('hidden', !Number.isFinite(x + y)); if (Number.isFinite(x + y)) { dot.setAttribute('cx', X(x)); dot.setAttribute('cy', Y(y)) } })
    svg.append(dot)
  }
  $('charts').append(make('figure', {}, make('figcaption', {}, title, make('span', {}, note ? ` · ${note}` : '')), svg, names))
  return svg
}
function path(points) {
  let d = '', last = null
  for (const [x, y] of points) {
    if (!Number.isFinite(x + y)) continue
    const p = `${X(x).toFixed(1)} ${Y(y).toFixed(1)}`
    if (p !== last) d += (d ? 'L' : 'M') + p
    last = p
  }
  return d
}
const roc = rows => [[0, 0], ...rows.map(r => [r.fpr, r.recall]), [1, 1]].sort((a, b) => a[0] - b[0] || a[1] - b[1])
const table = c => Array.from(c.t, (t, i) => ({ t: Math.min(1, t), ...rates(c.tp[i], c.fp[i], c.p, c.n) }))
const upright = () => {
  const line = shape('path', { class: 'at' })
  marks.push(() => line.setAttribute('d', `M${X(D.steps[state.step])} ${Y(0)}V${Y(1)}`))
  return line
}
const band = ends => ends ? [shape('rect', { class: 'band', x: X(ends[0]), width: Math.max(1, X(ends[1]) - X(ends[0])), y: Y(1), height: Y(0) - Y(1) })] : []
function pointed(svg) {
  svg.style.cursor = 'pointer'
  svg.addEventListener('click', e => {
    const box = svg.getBoundingClientRect(), t = ((e.clientX - box.left)/box.width*320 - 34)/276
    move(D.steps.findIndex(v => v >= Math.min(1, Math.max(0, t))))
  })
}
function drawCurves() {
  marks.length = 0
  $('charts').replaceChildren()
  const c = told()
  if (!several && c) {
    const rows = table(c), other = S.counts && place().curve ? table(place().curve) : [], where = S.counts ? 'this scene' : place().name
    const now = () => at(c, D.steps[state.step]), t = () => D.steps[state.step]
    const faint = (x, y) => other.length ? [{ name: place().name, color: 'var(--muted)', kind: 'dashed', points: other.map(r => [r[x], r[y]]) }] : []
    pointed(chart('IoU and accuracy', where, 'threshold', [...faint('t', 'iou'), { name: 'IoU', color: 'var(--s0)', points: rows.map(r => [r.t, r.iou]), spot: () => [t(), now().iou] }, { name: 'accuracy', color: 'var(--s1)', points: rows.map(r => [r.t, r.accuracy]), spot: () => [t(), now().accuracy] }], [...band(state.place ? null : D.interval), upright()]))
    chart('Precision', where, 'recall', [...faint('recall', 'precision'), { name: 'precision and recall', color: 'var(--s0)', points: rows.map(r => [r.recall, r.precision]), spot: () => [now().recall, now().precision] }])
    chart('True positive rate', `ROC, ${where}`, 'false positive rate', [...faint('fpr', 'recall'), { name: 'ROC', color: 'var(--s0)', points: roc(rows), spot: () => [now().fpr, now().recall] }])
  }
  const lines = (list, x, y) => list.map((g, i) => ({ name: g.name, color: `var(--s${i % 8})`, kind: i < 8 ? 'thin' : 'thin dashed', points: x === 'fpr' ? roc(table(g)) : table(g).map(r => [r[x], r[y]]), spot: g.value === undefined ? null : () => { const r = { t: g.value, ...at(g, g.value) }; return [r[x], r[y]] } }))
  if (D.groups.length) chart('IoU by group', D.groups.length > 16 ? `the first 16 of ${D.groups.length}` : 'validation scenes', 'threshold', lines(D.groups.slice(0, 16), 't', 'iou'), [upright()])
  if (several && place().classes.length) {
    const of = place().classes, where = place().name
    chart('IoU by class', where, 'threshold', lines(of, 't', 'iou'))
    chart('Accuracy by class', where, 'threshold', lines(of, 't', 'accuracy'))
    chart('Precision by class', where, 'recall', lines(of, 'recall', 'precision'))
    chart('True positive rate by class', `ROC, ${where}`, 'false positive rate', lines(of, 'fpr', 'recall'))
  }
  if (D.bins) {
    const most = Math.max(...D.bins.map(b => b[2])), svg = chart('Reliability', D.ece === null ? '' : `calibration error ${D.ece.toFixed(4)}`, 'mean probability; share that is true upward', [{ color: 'var(--muted)', kind: 'dashed', points: [[0, 0], [1, 1]] }])
    for (const [p, share, n] of D.bins) if (n) svg.append(tinted(shape('circle', { class: 'dot', cx: X(p), cy: Y(share), r: 3 + 5*Math.sqrt(n/most) }), 'var(--s0)'))
  }
  $('curves-note').textContent = D.note
  $('curves').hidden = !$('charts').children.length
  $('place-box').hidden = places.length < 2
  marks.forEach(m => m())
}

// scenes
async function choose(i) {
  const mine = ++turn, found = await open(i), untouched = !S || state.step === S.stored
  if (mine !== turn) return
  S = found
  state.scene = i
  if (untouched) state.step = S.stored
  $('scene').value = i
  $('layers').replaceChildren()
  document.querySelectorAll('[data-scene]').forEach(e => { e.hidden = e.dataset.scene !== String(i) })
  const names = layersOf(S), want = [names.includes(state.left) ? state.left : names[0], names.includes(state.right) ? state.right : names.includes('error') && !several ? 'error' : 'mask']
  for (const side of ['left', 'right']) $(side).replaceChildren(...names.map(n => new Option(NAMES[n], n)))
  $('opacity').parentNode.hidden = !S.image
  $('threshold-box').hidden = several
  $('rule').hidden = !several
  $('rule').textContent = several ? S.rule : ''
  $('best').hidden = !S.counts
  $('shown').textContent = S.shown
  state.k = 0
  pick('left', want[0]); pick('right', want[1])
  drawCurves()
  if (!several) move(state.step)
}
function drag(e, moved, done = () => {}) {
  const end = () => { e.target.removeEventListener('pointermove', moved); done() }
  e.target.setPointerCapture(e.pointerId)
  e.target.addEventListener('pointermove', moved)
  e.target.addEventListener('pointerup', end, { once: true })
  e.target.addEventListener('pointercancel', end, { once: true })
}
function listen() {
  $('scene').onchange = e => choose(+e.target.value)
  $('place').replaceChildren(...places.map((p, i) => new Option(p.name, i)))
  $('place').onchange = e => { state.place = +e.target.value; drawCurves(); if (!several) move(state.step) }
  $('left').onchange = e => pick('left', e.target.value)
  $('right').onchange = e => pick('right', e.target.value)
  $('opacity').oninput = redraw
  $('threshold').oninput = e => move(+e.target.value)
  $('stored').onclick = () => move(S.stored)
  $('best').onclick = () => S.counts && move(bestStep(S.counts))
  $('zoom-in').onclick = () => zoom(1.5)
  $('zoom-out').onclick = () => zoom(1/1.5)
  $('zoom-all').onclick = showAll
  view.addEventListener('pointerdown', e => {
    let [x, y] = [e.clientX, e.clientY]
    drag(e, m => { state.x += m.clientX - x; state.y += m.clientY - y; [x, y] = [m.clientX, m.clientY]; redraw() })
  })
  $('swipe').addEventListener('pointerdown', e => { e.preventDefault(); $('swipe').focus(); drag(e, m => { const b = stage.getBoundingClientRect(); split((m.clientX - b.left)/b.width) }) })
  $('swipe').addEventListener('keydown', e => {
    const by = { ArrowLeft: -.02, ArrowRight: .02, Home: -1, End: 1 }[e.key]
    if (by) { e.preventDefault(); e.stopPropagation(); split(state.split + by) }
  })
  stage.addEventListener('keydown', e => {
    const act = { '+': () => zoom(1.5), '=': () => zoom(1.5), '-': () => zoom(1/1.5), 0: showAll, ArrowLeft: () => state.x += 60, ArrowRight: () => state.x -= 60, ArrowUp: () => state.y += 60, ArrowDown: () => state.y -= 60 }[e.key]
    if (act && e.target === stage) { e.preventDefault(); act(); redraw() }
  })
  stage.addEventListener('wheel', e => {
    if (!e.ctrlKey && !stage.contains(document.activeElement)) return
    e.preventDefault()
    const b = stage.getBoundingClientRect()
    zoom(Math.exp(-Math.max(-200, Math.min(200, e.deltaY))/400), e.clientX - b.left, e.clientY - b.top)
  }, { passive: false })
  document.querySelectorAll('[data-look]').forEach(b => {
    b.hidden = false
    b.onclick = async () => {
      const [i, row, col, side] = b.dataset.look.split(',').map(Number)
      if (i !== state.scene) await choose(i)
      stage.scrollIntoView({ block: 'center' })
      lookAt(row, col, side)
    }
  })
  addEventListener('resize', redraw)
}
async function begin() {
  for (const s of D.scenes) {
    s.above = s.above && sums(s.above)
    if (s.counts) s.counts = { t: D.steps, tp: sums(s.counts.tp), fp: sums(s.counts.fp), p: s.counts.p, n: s.counts.n }
  }
  $('threshold').max = D.steps.length - 1
  $('scene-box').hidden = D.scenes.length < 2
  listen()
  await choose(0)
  document.documentElement.dataset.ready = '1'
}
begin().catch(e => { $('trouble').hidden = false; $('trouble').textContent = `The map could not be drawn (${e.message || e}). Use a browser of 2023 or newer: Firefox 113, Chrome 103, Safari 16.4.` })
