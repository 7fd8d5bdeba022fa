/**
 * What WHIP and WHEP share: one POST of an offer, its answer, and the DELETE that ends the session.
 *
 * RFC 9725; draft-ietf-wish-whep. The server is ICE-lite on a known address and learns ours from the checks, so an
 * offer is sent at once, without waiting for candidates: that saves a join 50 ms to several seconds.
 */
import { Problem, problemOf } from "./api.js";

const DEADLINE_MS = 10_000;
const FAREWELL_MS = 3_000;

/** Posts the offer of `peer` to `path`, applies the answer, and gives the session's absolute address. */
export async function offerTo(path, peer, token) {
  const bearer = asksFirst() ? await prepared(path, peer, token) : (await Promise.all([token(), peer.setLocalDescription()]))[0];
  const response = await exchange(path, peer.localDescription.sdp, bearer);
  const session = new URL(response.headers.get("location"), response.url).href;
  const sdp = await response.text();
  // A page that left while the answer was on its way leaves no session behind.
  if (peer.signalingState === "closed") {
    farewell(session, bearer);
    return null;
  }
  await peer.setRemoteDescription({ type: "answer", sdp });
  return session;
}

/** True if the service has STUN or TURN servers to name; without any, a round trip is saved. */
function asksFirst() {
  return document.querySelector('meta[name="ice-servers"]')?.content === "ask";
}

/** Offers only with the ICE servers known: Chromium takes later ones into account at the next ICE restart. */
async function prepared(path, peer, token) {
  const bearer = await token();
  const iceServers = await iceServersAt(path, bearer);
  if (peer.signalingState === "closed") return bearer;
  peer.setConfiguration({ ...peer.getConfiguration(), iceServers });
  await peer.setLocalDescription();
  return bearer;
}

/** What `path` names (RFC 9725 section 4.6). None on any failure: the direct way may well be open. */
async function iceServersAt(path, bearer) {
  const asked = { method: "OPTIONS", headers: { authorization: `Bearer ${bearer}` }, signal: AbortSignal.timeout(DEADLINE_MS) };
  const response = await fetch(path, asked).catch(() => null);
  return response?.ok ? iceServersIn(response.headers.get("link") ?? "") : [];
}

/** RTCIceServers of a Link header (RFC 8288): `<turn:host>; rel="ice-server"; username="u"; credential="p"`, with commas. */
export function iceServersIn(link) {
  const value = String.raw`"(?:[^"\\]|\\.)*"|[^\s;,"]*`;
  const links = link.matchAll(new RegExp(String.raw`<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:${value}))*)`, "g"));
  return Array.from(links, ([, urls, rest]) => {
    const pairs = rest.matchAll(new RegExp(String.raw`([\w-]+)\s*=\s*(${value})`, "g"));
    const named = Object.fromEntries(Array.from(pairs, ([, name, text]) => [name.toLowerCase(), unquoted(text)]));
    return { urls, ...named };
  })
    .filter(({ rel, urls }) => rel === "ice-server" && /^(stuns?|turns?):/.test(urls))
    .map(({ urls, username, credential }) => (username === undefined ? { urls } : { urls, username, credential }));
}

function unquoted(text) {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
}

async function exchange(path, sdp, bearer) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/sdp", authorization: `Bearer ${bearer}` },
      body: sdp,
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
  } catch {
    throw new Problem({ status: 0, code: "network", detail: "The server did not answer." });
  }
  if (response.status !== 201) throw await problemOf(response);
  return response;
}

/** Deletes a session. It outlives the page (`keepalive`), for this is often the last thing a page does. */
export async function farewell(session, bearer) {
  const headers = { authorization: `Bearer ${bearer}` };
  const signal = AbortSignal.timeout(FAREWELL_MS);
  await fetch(session, { method: "DELETE", headers, keepalive: true, signal }).catch(() => {});
}

/**
 * True if the server has ended this session: asked with a trickle fragment that changes nothing (RFC 9725 section 4.3).
 * A server that does not answer has not ended it.
 */
export async function isOver(session, bearer) {
  const headers = { "content-type": "application/trickle-ice-sdpfrag", authorization: `Bearer ${bearer}` };
  const asked = { method: "PATCH", headers, body: "a=end-of-candidates\r\n", signal: AbortSignal.timeout(DEADLINE_MS) };
  return (await fetch(session, asked).catch(() => null))?.status === 404;
}

/** Ends a peer: silent at once, closed once the server knows; the other way round it would find the session gone. */
export function hangUp(peer, session, bearer) {
  if (!peer) return;
  peer.onconnectionstatechange = null;
  peer.ontrack = null;
  for (const sender of peer.getSenders()) sender.replaceTrack(null).catch(() => {});
  if (session) farewell(session, bearer).finally(() => peer.close());
  else peer.close();
}

/** Bytes and frames so far of the tracks of `kind` ("inbound-rtp" or "outbound-rtp"). */
export async function counters(peer, kind) {
  const total = { bytes: 0, frames: 0, lost: 0 };
  for (const report of (await peer.getStats()).values()) {
    if (report.type !== kind) continue;
    total.bytes += report.bytesReceived ?? report.bytesSent ?? 0;
    total.frames += report.framesDecoded ?? report.framesEncoded ?? 0;
    total.lost += report.packetsLost ?? 0;
  }
  return total;
}
