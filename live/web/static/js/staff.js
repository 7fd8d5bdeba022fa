/** What the studio and the console share: the gate for the token, an action that reports its refusal, the top bar. */
import { Problem } from "./api.js";
import { stale, waits } from "./stale.js";
import { html, useRef } from "./view.js";
import { Badge, Viewers } from "./stage.js";
import { toast } from "./toast.js";
import { explain } from "./words.js";

const RANK = { analyst: 0, viewer: 0, moderator: 1, host: 2, operator: 3, admin: 4 };

/** The role that a token claims, read without its key: for words alone, the server decides. Null if it is no token. */
export function claimedRole(token) {
  return claims(token).role ?? null;
}

/** True if it claims to be for one show alone. */
export function isForOneShow(token) {
  return claims(token).show !== undefined;
}

function claims(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))) ?? {};
  } catch {
    return {};
  }
}

/** Why the gate stays closed for what this session has, in words; empty if it may try the server. */
export function gateWords(session, role, problem) {
  if (!session.value) return "";
  const claimed = claimedRole(session.value);
  if (claimed in RANK && RANK[claimed] < RANK[role]) return `This token is for ${claimed === "analyst" ? "an" : "a"} ${claimed}; this page needs the ${role}'s.`;
  if (problem?.status === 401 || problem?.code === 4502) return "This token is not valid, or not any more. Paste a new one.";
  return isLockedOut(problem) ? explain(problem) : "";
}

/** Asks for a token where the address brought none, or the server no longer takes it. */
export function TokenGate({ session, role, refused }) {
  const field = useRef();
  const accept = (event) => {
    event.preventDefault();
    const token = field.current.value.trim();
    if (!token) return;
    session.accept(token);
    location.reload();
  };
  return html`<main class="gate">
    <form onSubmit=${accept} class="panel">
      <h1>${role === "host" ? "Studio" : "Console"}</h1>
      ${refused
        ? html`<p class="alert" role="alert" data-testid="token-refused">${refused}</p>`
        : html`<p>Open the ${role}'s link that the server printed, or paste its token here.</p>`}
      <label for="token">Token</label>
      <input id="token" ref=${field} type="password" autocomplete="off" required data-testid="token" />
      <button type="submit" class="primary" data-testid="token-accept">Open</button>
      <p class="fine">A token is printed by <code>showfloor token --role ${role} --show ${session.show}</code>.</p>
    </form>
  </main>`;
}

/** Runs an operation; a refusal becomes a toast, and the answer null. */
export async function attempt(operation) {
  try {
    return await operation();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    toast(explain(problem), "bad");
    return null;
  }
}

/** True when the server will not take this token, whatever is tried. */
export function isLockedOut(problem) {
  return problem && (problem.status === 401 || problem.status === 403 || problem.code === 4502 || problem.code === 4504);
}

const CONNECTION = { connecting: "Connecting…", open: "Connected", waiting: "Reconnecting…", refused: "Not connected", closed: "Not connected" };

export function TopBar({ title, show, viewers, status, children }) {
  return html`<header class="top">
    <a class="brand" href="/">Showfloor</a>
    <h1>${show?.title ?? title}</h1>
    <span class="facts">
      ${show && html`<${Badge} state=${show.state} />`}
      <${Viewers} viewers=${viewers} />
      <span class="link-state ${status}" role="status" data-testid="connection" data-status=${status} data-stale=${stale.value}>${waits.value ? "Counts may be old" : CONNECTION[status]}</span>
    </span>
    ${children}
  </header>`;
}
