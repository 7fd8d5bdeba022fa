/** Holds that were made for us, by a comment that buys or by a place in a line: they go to where a tapped one would be. */
import { toast } from "./toast.js";
import { explain } from "./words.js";

const name = ({ number, title, option }) => `${number === null ? "" : `${number}: `}${title}${option && ` ${option}`}`;
const REFUSED = new Set(["sold_out", "limit_reached", "sales_closed", "rate_limited", "unavailable"]);

/** Why nothing is held, or "". */
export function claimWords({ outcome, choices = [] }) {
  if (outcome === "unclear") return `Which one? ${choices.map(name).join(", ")}. Say "buy" and its number.`;
  if (outcome === "not_in_show") return "There is no such item in this show. The numbers stand beside the items.";
  return REFUSED.has(outcome) ? explain({ code: outcome }) : "";
}

/** Take a hold that was made for us: beside one at hand it is kept in the basket. False if the server did not answer. */
async function adopt(purchase, id, notice, beside) {
  if (await purchase.adopt(id, notice)) return true;
  const hold = await purchase.bill.find(id);
  if (hold?.state !== "held") return hold !== undefined;
  purchase.bill.keep(hold);
  toast(beside);
  return true;
}

/** Answers `hear(event)` for the private event `claim`. */
export function claims(purchase) {
  return (event) => {
    const words = claimWords(event);
    const [notice, beside] = ["Held for you, by your comment. Pay before the time is up.", "Held for you too: it is in your basket."];
    if (words) toast(words, "bad");
    else if (event.hold_id) adopt(purchase, event.hold_id, notice, beside);
  };
}

/** Answers `take(hold_id)` for an offer of the waitlist; true once it is at hand, or in the basket, or gone. */
export function offers(purchase) {
  const notice = "One came free, and it was your turn. Pay before the time is up.";
  return (id) => adopt(purchase, id, notice, "It was your turn in line: it is in your basket. Pay before its time is up.");
}
