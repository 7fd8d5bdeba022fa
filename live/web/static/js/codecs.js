/**
 * Which video format the host sends, and who may not be able to play it.
 *
 * Nothing is converted on the way, so the host's choice decides who sees a picture. VP8 and H264 are mandatory for
 * every browser that does WebRTC (RFC 7742 section 5); the others save bandwidth, and cost viewers.
 */
import { saved } from "./session.js";

/** What the relay passes on, the ones that play everywhere first. */
export const FORMATS = ["H264", "VP8", "VP9", "AV1"];
const EVERYWHERE = ["H264", "VP8"];

const MISSING = {
  VP9: "older iPhones and older versions of Safari",
  AV1: "iPhones before the 15 Pro, most Macs in Safari, and older versions of Firefox",
};

const chosen = saved("showfloor.codec");

/** The format picked last in this tab, or "" for automatic. */
export const remembered = () => (FORMATS.includes(chosen.get()) ? chosen.get() : "");
export const remember = (format) => chosen.set(format || null);

const nameOf = ({ mimeType }) => mimeType.split("/")[1];

/** The relay's formats that this browser can send. */
export function sendable(capabilities = globalThis.RTCRtpSender?.getCapabilities?.("video")) {
  const names = new Set((capabilities?.codecs ?? []).map((codec) => nameOf(codec).toUpperCase()));
  return FORMATS.filter((format) => names.has(format));
}

/** The list for `setCodecPreferences`: `format` first, or without one those that play everywhere in the browser's order. */
export function preferring(format, capabilities = globalThis.RTCRtpSender?.getCapabilities?.("video")) {
  const codecs = capabilities?.codecs ?? [];
  const wanted = format ? [format] : EVERYWHERE;
  const isWanted = (codec) => wanted.includes(nameOf(codec).toUpperCase());
  return [...codecs.filter(isWanted), ...codecs.filter((codec) => !isWanted(codec))];
}

/** What automatic comes to in this browser. */
export function automatic(capabilities = globalThis.RTCRtpSender?.getCapabilities?.("video")) {
  const first = (capabilities?.codecs ?? []).find((codec) => EVERYWHERE.includes(nameOf(codec).toUpperCase()));
  return first ? nameOf(first).toUpperCase() : null;
}

/** `{level, text}` for a host before going live; level "good" or "warn". */
export function hint(format) {
  const sends = format || automatic();
  if (!sends) return { level: "warn", text: "This browser offers no video format that the show can be sent in." };
  if (EVERYWHERE.includes(sends)) return { level: "good", text: `The show is sent in ${sends}, which plays in every browser.` };
  return { level: "warn", text: `The show is sent in ${sends}. It looks better at the same bitrate, but ${MISSING[sends]} may not play it. H264 plays everywhere.` };
}
