/**
 * How the video fares, for the operator: one verdict in words, the numbers behind it, two curves, and who fares worst.
 *
 * Owns: one question every few seconds while the page is visible.
 */
import { api, sleep } from "./api.js";
import { tick } from "./clock.js";
import { timeOfDay } from "./time.js";
import { html, signal } from "./view.js";

const EVERY_MS = 3_000;
const PICTURE_MS = 10_000;
const WORST = 8;

const none = "–";
export const percent = (share) => (share === null ? none : `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`);
export const rate = (bps) => (bps >= 1e6 ? `${(bps / 1e6).toFixed(bps >= 1e8 ? 0 : 1)} Mbit/s` : `${Math.round(bps / 1000)} kbit/s`);
const ms = (value) => (value === null ? none : value >= 1000 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`);
const both = (spread, format) => (spread.count ? `${format(spread.p50)} / ${format(spread.p95)}` : none);

/** What an operator should know or do, the gravest first; empty if all is well. Pure. */
export function complaints({ host, viewers }) {
  const layers = host.layers.filter((layer) => layer.is_on_air);
  const found = [
    [!host.present, "No video arrives from the host."],
    [host.loss > 0.02, `The host's own connection loses ${percent(host.loss)}: a cable, or less bitrate, helps every viewer.`],
    [host.newest_frame_age_ms > 1000, `The host's pictures come ${ms(host.newest_frame_age_ms)} late: the encoder or the host's uplink is overloaded.`],
    [layers.some((layer) => layer.frames_per_second !== null && layer.frames_per_second < 15), "The host sends fewer than 15 pictures a second."],
    [viewers.frozen.p95 > 0.02, `One viewer in twenty sees the picture stand still ${percent(viewers.frozen.p95)} of the time or more.`],
    [viewers.loss.p95 > 0.05, `One viewer in twenty loses ${percent(viewers.loss.p95)} or more.`],
    [viewers.age_ms.p95 > 1000, `One viewer in twenty is ${ms(viewers.age_ms.p95)} or more behind.`],
  ];
  return found.filter(([is]) => is).map(([, words]) => words);
}

/** Points of a polyline in a box of 300 by 60, the newest at the right; `values` has at least two. Pure. */
export function polyline(values, top) {
  return values.map((value, n) => `${((300 * n) / (values.length - 1)).toFixed(1)},${(58 - (56 * value) / (top || 1)).toFixed(1)}`).join(" ");
}

function Curve({ label, history, series, format, testid }) {
  if (history.length < 2) return html`<figure class="curve"><figcaption>${label}<span class="muted">The curve begins in a few seconds.</span></figcaption></figure>`;
  const top = Math.max(1, ...series.flatMap(({ field }) => history.map((moment) => moment[field])));
  const minutes = Math.max(1, Math.round((history.at(-1).at_ms - history[0].at_ms) / 60_000));
  const newest = series.map(({ name, field }) => `${name} ${format(history.at(-1)[field])}`.trim()).join(", ");
  return html`<figure class="curve" data-testid=${testid}>
    <figcaption>${label}<span class="key">${series.map(({ name, field, line }) => html`<span key=${field} class=${line}>${name} ${format(history.at(-1)[field])}</span>`)}</span></figcaption>
    <svg viewBox="0 0 300 60" preserveAspectRatio="none" role="img" aria-label="${label}, the last ${minutes} min: now ${newest}">
      ${series.map(({ field, line }) => html`<polyline key=${field} class=${line} points=${polyline(history.map((moment) => moment[field]), top)} />`)}
    </svg>
    <p class="axis"><span>${minutes} min ago</span><span>most: ${format(top)}</span><span>now</span></p>
  </figure>`;
}

function Figures({ host, viewers }) {
  const figures = [
    ["Viewers", "sessions", String(viewers.sessions)],
    ["From the host", "in", rate(host.bitrate_bps)],
    ["To viewers", "out", rate(viewers.bitrate_bps)],
    ["Loss", "loss", both(viewers.loss, percent)],
    ["Round trip", "rtt", both(viewers.rtt_ms, ms)],
    ["Stood still", "frozen", both(viewers.frozen, percent)],
    ["Behind the host", "age", both(viewers.age_ms, ms)],
    ["Asked for again", "nacks", String(viewers.nacks)],
    ["Sent again", "resends", String(viewers.resends)],
    ["Keyframes wished for", "wishes", String(viewers.plis)],
    ["Keyframes asked", "plis", String(host.plis)],
    ["Host's loss", "host-loss", percent(host.loss)],
    ["Asked of host again", "host-nacks", String(host.nacks)],
    ["Host's delay", "host-age", ms(host.newest_frame_age_ms)],
  ];
  return html`<dl class="figures">
    ${figures.map(([label, name, value]) => html`<div key=${name}><dt>${label}</dt><dd data-testid="media-${name}">${value}</dd></div>`)}
  </dl>
  <p class="fine">Pairs are the median and the 95th percentile of all viewers.</p>`;
}

function Layers({ host }) {
  if (host.layers.length === 0) return null;
  return html`<table class="layers">
    <thead><tr><th scope="col">Picture</th><th scope="col">Bitrate</th><th scope="col">Pictures</th><th scope="col">Keyframe</th><th scope="col">Viewers</th></tr></thead>
    <tbody>
      ${host.layers.map(
        (layer) => html`<tr key=${layer.rid} class=${layer.is_on_air ? "" : "off"} data-testid="layer-${layer.rid || "only"}">
          <th scope="row">${layer.width ? `${layer.width} × ${layer.height}` : layer.rid || host.codec} <span class="muted">${[layer.width && layer.rid, host.codec, !layer.is_on_air && "paused"].filter(Boolean).join(", ")}</span></th>
          <td data-label="Bitrate">${rate(layer.bitrate_bps)}</td>
          <td data-label="Pictures">${layer.frames_per_second === null ? none : `${Math.round(layer.frames_per_second)}/s`}</td>
          <td data-label="Keyframe">${layer.keyframe_interval_ms === null ? none : `${ms(layer.keyframe_interval_ms)}`}</td>
          <td data-label="Viewers">${layer.viewers}</td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}

function Worst({ sessions }) {
  if (sessions.length === 0) return null;
  return html`<details class="worst">
    <summary>Who fares worst</summary>
    <table>
      <thead><tr><th scope="col">Viewer</th><th scope="col">Rate</th><th scope="col">Loss</th><th scope="col">Round trip</th><th scope="col">Stood still</th><th scope="col">Behind</th><th scope="col">Asked again</th><th scope="col">Sent again</th><th scope="col">Keyframes</th></tr></thead>
      <tbody data-testid="worst">
        ${sessions.map(
          (one) => html`<tr key=${one.session_id} data-testid="session-${one.session_id}">
            <th scope="row"><code>${one.account_id.slice(-8)}</code> <span class="muted">${one.layer === null ? "no picture" : one.layer}</span></th>
            <td data-label="Rate">${rate(one.bitrate_bps)}</td>
            <td data-label="Loss">${percent(one.loss)}</td>
            <td data-label="Round trip">${ms(one.rtt_ms)}</td>
            <td data-label="Stood still">${percent(one.frozen)}</td>
            <td data-label="Behind">${ms(one.age_ms)}</td>
            <td data-label="Asked again">${one.nacks}</td>
            <td data-label="Sent again">${one.resends}</td>
            <td data-label="Keyframes">${one.plis}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  </details>`;
}

/** The panel of one show; `token` answers the operator's token. Asks until the page is left. */
export function mediaPanel({ show, token }) {
  const numbers = signal(null);
  const worst = signal([]);
  const stale = signal(false);

  (async () => {
    for (;;) {
      if (!document.hidden) {
        try {
          const bearer = await token();
          [numbers.value, worst.value] = await Promise.all([api.media(show, bearer), api.worstSessions(show, bearer, WORST).then(({ items }) => items)]);
          stale.value = false;
        } catch (refused) {
          stale.value = true;
          if (refused.status === 401 || refused.status === 403 || refused.status === 404) return;
        }
      }
      await sleep(EVERY_MS);
    }
  })();

  function Verdict({ host, viewers, isLive }) {
    const words = complaints({ host, viewers });
    const waiting = !host.present && !isLive;
    const level = words.length === 0 ? "good" : waiting ? "idle" : "warn";
    const all = waiting ? ["No video at the moment."] : words.length ? words : ["All is well."];
    return html`<div class="verdict ${level}" role="status" data-testid="media-verdict" data-level=${level}>
      ${all.map((line) => html`<p key=${line}>${line}</p>`)}
      ${host.since_ms && html`<p class="muted">${host.present ? "On air" : "Off air"} since ${timeOfDay(host.since_ms)}</p>`}
    </div>`;
  }

  return function MediaPanel({ state }) {
    const now = numbers.value;
    const at = Math.floor(tick.value / PICTURE_MS);
    return html`<section class="panel media" aria-labelledby="media-title" data-testid="media">
      <h2 id="media-title">Video</h2>
      ${!now && html`<p class="muted">${stale.value ? "The numbers cannot be read at the moment." : "One moment…"}</p>`}
      ${now && html`<div class="media-head">
          ${state === "live" && html`<img class="live-picture" src="${api.thumbnail(show)}?at=${at}" alt="The live picture, seconds ago" width="320" height="180" data-testid="media-picture" />`}
          <div>
            <${Verdict} host=${now.host} viewers=${now.viewers} isLive=${state === "live"} />
            ${stale.value && html`<p class="alert" role="alert">These numbers are old: the server does not answer.</p>`}
          </div>
        </div>
        <${Figures} host=${now.host} viewers=${now.viewers} />
        <div class="curves">
          <${Curve} label="Viewers" testid="curve-viewers" history=${now.history} format=${String} series=${[{ name: "", field: "viewers", line: "first" }]} />
          <${Curve} label="From the host" testid="curve-in" history=${now.history} format=${rate} series=${[{ name: "", field: "in_bps", line: "first" }]} />
          <${Curve} label="To viewers" testid="curve-out" history=${now.history} format=${rate} series=${[{ name: "", field: "out_bps", line: "second" }]} />
        </div>
        <${Layers} host=${now.host} />
        <${Worst} sessions=${worst.value} />`}
    </section>`;
  };
}
