"use strict";
// Texts of jobs reach the page as text alone: through textContent, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const { texts, kinds, jobs } = data;
const total = jobs.id.length;
const byId = (id) => document.getElementById(id);
const WORD = 0, CLASS = 1, SIGN = 2;

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
function drawn(tag, attributes = {}, text = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

// ---- amounts in words, as the rest of the page has them

function digits(value) {
  if (value === 0) return "0";
  const places = Math.abs(value) < 10 ? Math.min(3, Math.max(0, 1 - Math.floor(Math.log10(Math.abs(value))))) : 0;
  return String(Number(value.toFixed(places)));
}
function duration(seconds) {
  if (seconds === null) return "–";
  if (seconds < 10) return `${digits(seconds)} s`;
  let left = Math.round(seconds);
  const parts = [];
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    if (left >= size || parts.length) {
      parts.push(left >= size ? `${Math.floor(left / size)} ${unit}` : "");
      left %= size;
    }
    if (parts.length === 2) break;
  }
  return parts.filter(Boolean).join(" ");
}
function memory(megabytes) {
  if (megabytes === null) return "–";
  return Math.round(megabytes) < 1024 ? `${digits(megabytes)} MB` : `${digits(megabytes / 1024)} GB`;
}
// The zone of who made the page, wherever it is read.
function clock(offset) {
  return new Date((data.begin + offset + data.zone) * 1000).toISOString();
}
function moment(offset) {
  return offset === null ? "–" : clock(offset).slice(0, 19).replace("T", " ");
}
function cpus(job) {
  return jobs.cpu_s[job] !== null && jobs.run_s[job] ? jobs.cpu_s[job] / jobs.run_s[job] : null;
}
function ending(job) {
  return texts[jobs.ended[job]];
}
function log(job) {
  const [array, index = ""] = jobs.id[job].split("_");
  const filled = { j: jobs.id[job], t: "0", A: array, a: index };
  return `${texts[jobs.folder[job]]}/%j_%t_log.err`.replace(/%([jtAa])/g, (_, tag) => filled[tag]);
}
function facts(job) {
  const kind = kinds[jobs.kind[job]];
  const asked = (value, show) => (value === null ? "" : ` of ${show(value)} asked`);
  const found = [
    ["State", `${kind[SIGN]} ${texts[jobs.state[job]]}${ending(job) ? ` (${ending(job)})` : ""}`],
    ["Submitted", moment(jobs.submitted[job])],
    ["Waited", duration(jobs.queued_s[job])],
    ["Ran", duration(jobs.run_s[job]) + asked(jobs.asked_time_s[job], duration)],
    ["Memory", memory(jobs.max_rss_mb[job]) + asked(jobs.asked_mem_mb[job], memory)],
    ["CPUs busy", (cpus(job) === null ? "–" : digits(cpus(job))) + asked(jobs.asked_cpus[job], digits)],
    ["Node", texts[jobs.node[job]] || "–"],
  ];
  jobs.spans[job].slice(0, -1).forEach(([begin, end, , , , again], place) => {
    found.push([`Attempt ${place + 1}`, `from ${moment(begin)}${end > 0 ? `, ${duration(end - begin)}` : ""}${again ? `, ${texts[again]}` : ""}`]);
  });
  found.push(["Log", log(job)]);
  return found;
}
function title(job) {
  return [jobs.id[job], texts[jobs.name[job]], texts[jobs.function[job]]].filter(Boolean).join(" · ");
}

// ---- the timeline

const lanes = byId("lanes"), axis = byId("axis"), overview = byId("overview"), about = byId("about");
const tip = make("div", { id: "tip", hidden: "" });
const brush = make("div", { id: "brush" });
document.body.append(tip);
overview.append(brush);
byId("tools").hidden = false;

const last = jobs.id.reduce((found, _, job) => Math.max(found, lastOf(job)), 1e-3);
let from = 0, until = last * 1.01, rows = [], chosen = -1, height = 18;

function lastOf(job) {
  const spans = jobs.spans[job];
  let found = jobs.submitted[job] ?? 0;
  for (const [begin, end] of spans) found = Math.max(found, begin, end === null ? data.now : end);
  return jobs.over[job] ? found : Math.max(found, data.now);
}
function segments(job) {
  const spans = jobs.spans[job], found = [];
  const first = spans.length ? spans[0][0] : jobs.over[job] ? null : data.now;
  if (jobs.submitted[job] !== null && first !== null && first >= jobs.submitted[job]) {
    found.push({ job, begin: jobs.submitted[job], end: first, kind: 4, waits: true });
  }
  spans.forEach(([begin, end, node, , kind], place) => {
    const newest = place === spans.length - 1, before = place ? spans[place - 1][1] : null;
    if (before !== null && before >= 0 && before < begin) found.push({ job, begin: before, end: begin, kind: 4, waits: true });
    // Where nobody knows its end, it is drawn as a mark where it began.
    found.push({ job, begin, end: end === null ? data.now : end < 0 ? begin : end, kind: newest ? jobs.kind[job] : kind, node, again: !newest });
  });
  // Cancelled, or lost, before it began.
  if (!spans.length && jobs.over[job] && jobs.submitted[job] !== null) {
    found.push({ job, begin: jobs.submitted[job], end: jobs.submitted[job], kind: jobs.kind[job] });
  }
  return found;
}
function jobLanes() {
  return jobs.id.map((id, job) => ({ label: id, job, segments: segments(job) }));
}
function nodeLanes() {
  const nodes = new Map();
  for (let job = 0; job < total; job++) {
    for (const segment of segments(job)) {
      if (segment.waits || segment.node === undefined) continue;
      if (!nodes.has(segment.node)) nodes.set(segment.node, []);
      nodes.get(segment.node).push(segment);
    }
  }
  const named = [...nodes].sort((a, b) => texts[a[0]].localeCompare(texts[b[0]], "en", { numeric: true }));
  const found = [];
  for (const [node, own] of named) {
    own.sort((a, b) => a.begin - b.begin);
    const free = [];  // of each lane, when it is free again
    const made = [];
    for (const segment of own) {
      let lane = free.findIndex((end) => end <= segment.begin);
      if (lane < 0) lane = free.length;
      free[lane] = Math.max(segment.end, segment.begin + last / 2000);
      (made[lane] ??= []).push(segment);
    }
    made.forEach((list, lane) => found.push({ label: lane ? "" : texts[node] || "not known", head: true, segments: list }));
  }
  return found;
}
function label() {
  if (height < 14 && !rows[0]?.head) return 8;
  return Math.min(150, Math.max(60, lanes.clientWidth * 0.16));
}
function plot() {
  const left = label(), right = lanes.clientWidth - 8;
  return { left, right, at: (time) => left + ((time - from) / (until - from)) * (right - left) };
}
const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000];
function ticks(width) {
  const step = STEPS.find((one) => (until - from) / one <= width / (one < 1 ? 110 : 90)) ?? STEPS.at(-1);
  const offset = (data.begin + data.zone) % step, found = [];
  for (let time = Math.ceil((from + offset) / step) * step - offset; time <= until && found.length < 50; time += step) found.push(time);
  let day = "";
  return found.map((time) => {
    const text = clock(time), today = text.slice(5, 10);
    const hour = step < 1 ? text.slice(11, 23) : step < 60 ? text.slice(11, 19) : text.slice(11, 16);
    const shown = step >= 86400 ? (step >= 2592000 ? text.slice(0, 10) : today) : today === day || !day && step < 3600 ? hour : `${today} ${hour}`;
    day = today;
    return [time, shown];
  });
}
function path(list, top, at, left, right) {
  let text = "";
  for (const [row, segment] of list) {
    if (segment.end < from || segment.begin > until) continue;
    const x = Math.max(left, at(segment.begin)), end = Math.min(right, at(segment.end));
    const y = (row + 0.5) * height - top;
    text += `M${x.toFixed(1)} ${y.toFixed(2)}H${Math.max(x + 1, end).toFixed(1)}`;
  }
  return text;
}
function draw() {
  const { left, right, at } = plot();
  const top = lanes.scrollTop, tall = lanes.clientHeight, wide = lanes.clientWidth;
  const marks = ticks(right - left);
  const scale = drawn("svg", { width: wide, height: 18, "aria-hidden": "true" });
  const svg = drawn("svg", { width: wide, height: tall, "aria-hidden": "true" });
  let free = left - 30;
  for (const [time, text] of marks) {
    const x = at(time).toFixed(1), half = text.length * 3.2;
    if (at(time) - half >= free && at(time) + half <= wide) {
      scale.append(drawn("text", { x, y: 13, "text-anchor": "middle" }, text));
      free = at(time) + half + 8;
    }
    svg.append(drawn("line", { class: "grid", x1: x, x2: x, y1: 0, y2: tall }));
  }
  axis.replaceChildren(scale);
  const begin = Math.max(0, Math.floor(top / height) - 1), end = Math.min(rows.length, Math.ceil((top + tall) / height) + 1);
  const waiting = [], earlier = [], fails = [], byKind = kinds.map(() => []);
  for (let row = begin; row < end; row++) {
    for (const segment of rows[row].segments) {
      // Of lanes thinner than a pixel one a pixel is enough to show what waits: drawn upon each other they would hide all else.
      if (segment.waits && row % Math.ceil(1 / height)) continue;
      (segment.waits ? waiting : byKind[segment.kind]).push([row, segment]);
      if (segment.again) earlier.push([row, segment]);
      else if (kinds[segment.kind][CLASS] === "bad") fails.push([row, segment]);
    }
    if (height >= 14 || (rows[row].head && rows[row].label && height >= 3)) {
      const y = (row + 0.5) * height - top + 4, name = rows[row].label, most = Math.floor(left / 6.6) - 1;
      const cut = name.length > most ? `…${name.slice(1 - most)}` : name;
      svg.append(drawn("text", { x: 6, y: y.toFixed(1), ...(rows[row].head ? { class: "head" } : {}) }, cut));
    }
  }
  const thick = Math.max(0.8, height > 3 ? height * 0.62 : height);
  const add = (list, name, width, dashes = "") => {
    const d = path(list, top, at, left, right);
    if (d) svg.append(drawn("path", { class: name, d, "stroke-width": width, ...(dashes ? { "stroke-dasharray": dashes } : {}) }));
  };
  add(waiting, height > 3 ? "waiting" : "waiting crowd", height > 3 ? thick * 0.22 : Math.max(1, height));
  kinds.forEach((kind, place) => add(byKind[place], kind[CLASS], thick));
  add(fails, "fails", thick, "1.5 4.5");
  add(earlier, "again", thick, "2 2");
  if (chosen >= 0) {
    const row = rows.findIndex((one) => one.segments.some((segment) => segment.job === chosen && !segment.waits) || one.job === chosen);
    if (row >= begin && row < end) svg.append(drawn("rect", { class: "chosen", x: left - 2, y: (row * height - top - 1).toFixed(1), width: right - left + 4, height: Math.max(4, height + 2) }));
  }
  const spacer = lanes.firstElementChild;
  spacer.replaceChildren(svg);
  const whole = until - from >= last;
  byId("shown").textContent = whole ? "" : `${moment(Math.max(0, from))} to ${moment(Math.min(last, until))}`;
  brush.hidden = whole;
  brush.style.left = `${Math.max(0, (from / last) * 100)}%`;
  brush.style.width = `${Math.min(100, (Math.min(until, last) - Math.max(0, from)) / last * 100)}%`;
}
let wanted = 0;
function later() {
  if (!wanted) wanted = requestAnimationFrame(() => { wanted = 0; draw(); });
}
function arrange() {
  rows = byId("lanes-by").value === "node" ? nodeLanes() : jobLanes();
  const mode = byId("lanes-height").value;
  height = mode === "tall" ? 18 : mode === "low" ? 6 : Math.min(18, 480 / Math.max(1, rows.length));
  lanes.style.height = `${Math.min(520, Math.max(40, rows.length * height + 2))}px`;
  const spacer = make("div", { class: "spacer" });
  spacer.style.height = `${rows.length * height}px`;
  lanes.replaceChildren(spacer);
  draw();
}
function show(begin, end) {
  const wide = Math.min(last * 1.01, Math.max(last / 1e6, 1e-3, end - begin));
  from = Math.min(Math.max(0, begin), last * 1.01 - wide);
  until = from + wide;
  later();
}
function closer(factor, middle = (from + until) / 2) {
  show(middle - (middle - from) * factor, middle + (until - middle) * factor);
}
function shift(part) {
  show(from + (until - from) * part, until + (until - from) * part);
}
function choose(job, x = null, y = null) {
  chosen = job;
  if (job < 0) { tip.hidden = true; later(); return; }
  const list = make("dl");
  for (const [name, value] of facts(job)) list.append(make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  tip.replaceChildren(make("strong", {}, title(job)), list);
  tip.hidden = x === null;
  if (x !== null) {
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(4, y - box.height - 12) : y + 18}px`;
  }
  later();
}
function tell(job) {
  about.textContent = `${title(job)}. ${facts(job).map(([name, value]) => `${name}: ${value}`).join(". ")}`;
}
function under(event) {
  const box = lanes.getBoundingClientRect(), { left, right } = plot();
  const y = event.clientY - box.top - lanes.clientTop + lanes.scrollTop, x = event.clientX - box.left - lanes.clientLeft;
  const row = rows[Math.floor(y / height)];
  if (!row || !row.segments.length) return -1;
  if (row.job !== undefined) return row.job;
  const time = from + ((x - left) / (right - left)) * (until - from), near = (until - from) / 200;
  const hit = row.segments.find((one) => one.begin - near <= time && time <= one.end + near);
  return hit ? hit.job : -1;
}
lanes.addEventListener("scroll", later);
lanes.addEventListener("pointermove", (event) => choose(under(event), event.clientX, event.clientY));
lanes.addEventListener("pointerleave", () => choose(-1));
lanes.addEventListener("click", (event) => { const job = under(event); if (job >= 0) { choose(job, event.clientX, event.clientY); tell(job); } });
lanes.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  const { left, right } = plot(), x = event.clientX - lanes.getBoundingClientRect().left;
  closer(event.deltaY > 0 ? 1.25 : 0.8, from + ((x - left) / (right - left)) * (until - from));
}, { passive: false });
lanes.addEventListener("keydown", (event) => {
  const order = [...new Set(rows.flatMap((row) => row.segments.filter((one) => !one.waits || row.job !== undefined).map((one) => one.job)))];
  const move = (by) => {
    const place = order.indexOf(chosen);
    const job = order[place < 0 ? 0 : Math.min(order.length - 1, Math.max(0, place + by))];
    if (job === undefined) return;
    choose(job);
    tell(job);
    const row = rows.findIndex((one) => one.segments.some((segment) => segment.job === job));
    if (row * height < lanes.scrollTop) lanes.scrollTop = row * height;
    if ((row + 1) * height > lanes.scrollTop + lanes.clientHeight) lanes.scrollTop = (row + 1) * height - lanes.clientHeight;
  };
  const act = { ArrowDown: () => move(1), ArrowUp: () => move(-1), PageDown: () => move(20), PageUp: () => move(-20), Home: () => move(-total), End: () => move(total),
    ArrowLeft: () => shift(-0.2), ArrowRight: () => shift(0.2), "+": () => closer(0.7), "=": () => closer(0.7), "-": () => closer(1.4), 0: () => show(0, last * 1.01), Escape: () => choose(-1) }[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
});
let dragged = null;
const timeAt = (event) => { const box = overview.getBoundingClientRect(); return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * last; };
overview.addEventListener("pointerdown", (event) => { dragged = timeAt(event); overview.setPointerCapture(event.pointerId); });
overview.addEventListener("pointermove", (event) => {
  if (dragged !== null && Math.abs(timeAt(event) - dragged) > last / 200) show(Math.min(dragged, timeAt(event)), Math.max(dragged, timeAt(event)));
});
overview.addEventListener("pointerup", () => { dragged = null; });
overview.addEventListener("dblclick", () => show(0, last * 1.01));
byId("earlier").onclick = () => shift(-0.4);
byId("later").onclick = () => shift(0.4);
byId("in").onclick = () => closer(0.5);
byId("out").onclick = () => closer(2);
byId("whole").onclick = () => show(0, last * 1.01);
byId("lanes-by").onchange = arrange;
byId("lanes-height").onchange = arrange;
byId("lanes-height").value = total <= 60 ? "tall" : total <= 400 ? "low" : "all";
addEventListener("resize", later);
addEventListener("beforeprint", draw);
arrange();

// ---- the table

const PAGE = 50;
const text = (name) => (job) => texts[jobs[name][job]] || "–";
const amount = (name, show) => (job) => (jobs[name][job] === null ? "–" : show(jobs[name][job]));
// A column's heading, what its cell shows, and what it is sorted by.
const COLUMNS = [
  ["State", (job) => texts[jobs.state[job]], (job) => texts[jobs.state[job]]],
  ["Job", (job) => jobs.id[job], (job) => job],
  ["Name", text("name"), text("name")],
  ["Function", text("function"), text("function")],
  ["Submitted", (job) => moment(jobs.submitted[job]), (job) => jobs.submitted[job]],
  ["Waited", amount("queued_s", duration), (job) => jobs.queued_s[job], "number"],
  ["Ran", amount("run_s", duration), (job) => jobs.run_s[job], "number"],
  ["Attempts", amount("attempts", String), (job) => jobs.attempts[job], "number"],
  ["Memory", amount("max_rss_mb", memory), (job) => jobs.max_rss_mb[job], "number"],
  ["CPUs busy", (job) => (cpus(job) === null ? "–" : digits(cpus(job))), cpus, "number"],
  ["Node", text("node"), text("node")],
  ["Ended with", (job) => ending(job) || "–", ending, "long"],
];
const table = byId("table"), words = byId("words"), kindSelect = byId("kind");
let sortedBy = 1, descending = false, page = 0;
byId("filters").hidden = false;
kinds.forEach(([word, , sign], place) => {
  const many = jobs.kind.reduce((sum, kind) => sum + (kind === place), 0);
  if (many) kindSelect.append(make("option", { value: place }, `${sign} ${word} (${many})`));
});
const searched = jobs.id.map((id, job) => `${title(job)}\n${texts[jobs.node[job]]}\n${texts[jobs.state[job]]}\n${ending(job)}`.toLowerCase());
const head = make("tr");
COLUMNS.forEach(([name, , , form = ""], place) => {
  const button = make("button", { type: "button" }, name);
  button.onclick = () => { descending = sortedBy === place && !descending; sortedBy = place; page = 0; list(); };
  head.append(make("th", { scope: "col", ...(form ? { class: form } : {}) }, button));
});
table.tHead.append(head);

function list() {
  const sought = words.value.toLowerCase().split(/\s+/).filter(Boolean), kind = kindSelect.value;
  const key = COLUMNS[sortedBy][2], keys = new Map();
  const found = [];
  for (let job = 0; job < total; job++) {
    if ((kind === "" || jobs.kind[job] === Number(kind)) && sought.every((word) => searched[job].includes(word))) {
      found.push(job);
      keys.set(job, key(job));
    }
  }
  // What is not known comes last, either way.
  const unknown = (value) => value === null || value === "" || value === "–";
  found.sort((a, b) => {
    const [one, other] = [keys.get(a), keys.get(b)];
    if (unknown(one) || unknown(other)) return unknown(one) - unknown(other) || a - b;
    const order = typeof one === "number" ? one - other : one < other ? -1 : one > other ? 1 : 0;
    return (descending ? -order : order) || a - b;
  });
  [...head.children].forEach((cell, place) => {
    if (place === sortedBy) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  page = Math.min(page, pages - 1);
  const part = found.slice(page * PAGE, (page + 1) * PAGE);
  table.tBodies[0].replaceChildren(...part.map((job) => {
    const row = make("tr", { title: log(job) });
    COLUMNS.forEach(([, show, , form = ""], place) => {
      const cell = make("td", form ? { class: form } : {});
      if (!place) {
        const [, name, sign] = kinds[jobs.kind[job]];
        cell.append(make("b", { class: `sign ${name}`, "aria-hidden": "true" }, sign), " ");
      }
      cell.append(show(job));
      row.append(cell);
    });
    return row;
  }));
  byId("back").disabled = page === 0;
  byId("forth").disabled = page === pages - 1;
  const many = found.length.toLocaleString("en");
  byId("count").textContent = found.length > PAGE
    ? `${page * PAGE + 1} to ${page * PAGE + part.length} of ${many}`
    : `${many} ${found.length === 1 ? "job" : "jobs"}`;
}
words.oninput = kindSelect.onchange = () => { page = 0; list(); };
byId("back").onclick = () => { page--; list(); };
byId("forth").onclick = () => { page++; list(); };
list();
