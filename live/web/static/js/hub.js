/** The hub page: every show, with where it stands and when it starts in the viewer's own time zone. */
import { api, sleep } from "./api.js";
import { tick } from "./clock.js";
import { dateTime, countdown } from "./time.js";
import { html, render, signal } from "./view.js";
import { explain, STATES } from "./words.js";

const REFRESH_MS = 15_000;
const PICTURE_MS = 10_000;
const SOON_MS = 60 * 60 * 1000;
const ORDER = { live: 0, paused: 1, scheduled: 2, ended: 3 };

const shows = signal(null);
const problem = signal(null);

/** Live first, then the next to start, then the most recently ended. */
function sorted(list) {
  const later = (a, b) => (a.state === "ended" ? b.starts_at_ms - a.starts_at_ms : a.starts_at_ms - b.starts_at_ms);
  return [...list].sort((a, b) => ORDER[a.state] - ORDER[b.state] || later(a, b));
}

function Starts({ show }) {
  const left = show.starts_at_ms - tick.value;
  const soon = show.state === "scheduled" && left > 0 && left < SOON_MS;
  return html`<p class="when">
    <time datetime=${new Date(show.starts_at_ms).toISOString()}>${dateTime(show.starts_at_ms)}</time>
    ${soon && html`<span class="soon">in ${countdown(left)}</span>`}
  </p>`;
}

/** The live picture changes every ten seconds; a new address makes the browser ask for it. */
function LivePicture({ show }) {
  const at = Math.floor(tick.value / PICTURE_MS);
  return html`<img class="live-picture" src="${api.thumbnail(show.show_id)}?at=${at}" alt="" width="320" height="180" decoding="async" data-testid="picture-${show.show_id}" />`;
}

const INVITATIONS = { scheduled: "See what is coming", live: "Watch now", paused: "Watch now", ended: "See the items" };

function Card({ show }) {
  return html`<li class="show ${show.state}">
    <a href="/watch/${encodeURIComponent(show.show_id)}" data-testid="show-${show.show_id}">
      ${show.state === "live" && html`<${LivePicture} show=${show} />`}
      <span class="badge ${show.state}">${STATES[show.state]}</span>
      <h2>${show.title}</h2>
      ${show.description && html`<p class="description">${show.description}</p>`}
      <${Starts} show=${show} />
      <span class="go">${INVITATIONS[show.state]}</span>
    </a>
  </li>`;
}

function Hub() {
  const list = shows.value;
  return html`<header class="top"><a class="brand" href="/">Showfloor</a></header>
    <main>
      <h1>Shows</h1>
      ${problem.value && html`<p class="alert" role="alert">${explain(problem.value)}</p>`}
      ${list === null && !problem.value && html`<p class="muted">One moment…</p>`}
      ${list?.length === 0 && html`<p class="muted">There are no shows yet. <code>make demo</code> starts one.</p>`}
      ${list?.length > 0 && html`<ul class="shows" data-testid="shows">${list.map((show) => html`<${Card} key=${show.show_id} show=${show} />`)}</ul>`}
    </main>`;
}

async function refresh() {
  try {
    shows.value = sorted((await api.shows()).items);
    problem.value = null;
  } catch (refused) {
    problem.value = refused;
  }
}

render(html`<${Hub} />`, document.getElementById("app"));
for (;;) {
  if (!document.hidden) await refresh();
  await sleep(REFRESH_MS);
}
