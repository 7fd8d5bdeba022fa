/** What the pages say when something is refused: plain words for every code of schema/errors.py a person can meet. */
const WORDS = {
  network: "We could not reach the shop. Check your connection and try again.",
  sold_out: "Sold out. Wait in line: what comes back is offered in order.",
  limit_reached: "You have reached the limit for this item.",
  price_changed: "The price has just changed. Nothing was bought; look at the new one.",
  coupon_refused: "The coupon cannot be used any more. Look at the new total.",
  sales_closed: "Sales are closed at the moment.",
  chat_closed: "The shop has paused the chat. What you typed stays.",
  video_stopped: "The shop has stopped the video for now. It goes on by itself.",
  not_added_up: "We have not added up your order yet. Nothing was charged.",
  unconfirmed: "It could not be confirmed. Nothing was charged; try again.",
  hold_confirming: "It is not confirmed yet. A moment, please.",
  too_late_to_cancel: "Your payment has gone through, so the order stands. Ask the shop if you want your money back.",
  hold_lapsed: "Your time ran out and the item went back on sale.",
  payment_declined: "The payment was declined. You were not charged, and the item is still yours until the time runs out.",
  muted: "A moderator muted you in this chat.",
  banned: "A moderator sent you out of this show.",
  message_blocked: "One of these words may not be said here. Please put it another way.",
  links_not_allowed: "Links may not be posted here.",
  rate_limited: "That was a little fast.",
  unauthenticated: "Your session has ended. Reload the page to go on.",
  forbidden: "This link does not allow that.",
  not_found: "This show does not exist.",
  unavailable: "The shop is busy right now. Try again in a moment.",
  going_away: "The shop is restarting. Try again in a moment.",
  not_acceptable: "This browser cannot play the video's format.",
};

/** A limit that is not this buyer's own. */
const NETWORK = "Others on your network hold as many of these as one network may at a time. Try again in a moment: it frees up as they pay or let go.";

/** The same codes, to a host whose offer was refused. */
const TO_A_HOST = {
  not_acceptable: "The show cannot be sent in this video format. Choose Automatic, H264 or VP8 as the video format.",
};

const DEVICES = {
  NotAllowedError: "The browser blocked the camera or the microphone. Allow both for this page and try again.",
  NotFoundError: "No camera or no microphone was found. Plug one in and try again.",
  NotReadableError: "Another program is using the camera. Close it and try again.",
  OverconstrainedError: "That camera is no longer there. Pick another.",
  InsecureContextError: "Cameras work only on pages opened over HTTPS, or on localhost.",
};

/** Why a viewer sees nothing, with the format's name where the server said it. */
function formatWords({ extra }) {
  const codecs = extra?.codecs?.join(" and ");
  return codecs && `This show is sent in ${codecs}, which this browser cannot play. Update the browser, or open the show in another one.`;
}

/**
 * One or two sentences for a Problem of api.js, a refusal of socket.js or a DOMException of a camera; `doing` is
 * "publish" where a host's offer was refused.
 */
export function explain(problem, doing = "watch") {
  if (problem.code === "limit_reached" && problem.extra?.of === "network") return NETWORK;
  const special = doing === "publish" ? TO_A_HOST[problem.code] : problem.code === "not_acceptable" && formatWords(problem);
  const text = DEVICES[problem.name] || special || WORDS[problem.code] || problem.detail || "Something went wrong. Try again.";
  const seconds = Math.ceil((problem.retryAfterMs ?? 0) / 1000);
  return ["rate_limited", "muted"].includes(problem.code) && seconds > 0 ? `${text} Try again in ${seconds} s.` : text;
}

/** How many are left, as a buyer wants to read it. */
/** `stale`: nobody has told the count for a moment. */
export function stockNote(stock, stale = false) {
  if (!stock) return "";
  if (stock.available > 0) return `${stock.available} left${stale ? " a moment ago" : ""}`;
  return stock.held > 0 ? "All reserved" : "Sold out";
}

export const STATES = { scheduled: "Upcoming", live: "Live", paused: "Paused", ended: "Ended" };
