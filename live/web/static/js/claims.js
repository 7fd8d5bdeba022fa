/** What became of a comment that buys: the hold goes to where a tapped one would be, and a refusal is said in words. */
import { api } from "./api.js";
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

/** Answers `hear(event)` for the private event `claim`. A second hold beside one at hand is kept in the basket. */
export function claims({ token, purchase }) {
  async function adopt({ hold_id: id }) {
    if (await purchase.adopt(id, "Held for you, by your comment. Pay before the time is up.")) return;
    const hold = await api.getHold(id, await token()).catch(() => null);
    if (hold?.state !== "held") return;
    purchase.bill.keep(hold);
    toast("Held for you too: it is in your basket.");
  }

  return (event) => {
    const words = claimWords(event);
    if (words) toast(words, "bad");
    else if (event.hold_id) adopt(event);
  };
}
