/**
 * Stripe's card form in our page: the Payment Element, a token for what was typed into it, and the bank's question.
 *
 * Owns: Stripe.js, fetched when somebody is about to pay and not before; what is typed never passes through our code.
 * Invariant: nothing here throws; each step ends in an answer or in a sentence for the buyer.
 */
import { sleep } from "./api.js";

const SCRIPT = "https://js.stripe.com/v3/";
const UNREACHABLE = "The card form could not be reached. Check your connection and try again.";
/** A payment that is undecided for longer is cancelled by the server. */
const BANK_MS = 600_000;
const STEP_MS = 60_000;

let fetching = null;

function fetched() {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = SCRIPT;
    script.onload = () => (globalThis.Stripe ? resolve(globalThis.Stripe) : reject(new Error("no Stripe in it")));
    script.onerror = () => {
      script.remove();
      reject(new Error("not fetched"));
    };
    document.head.append(script);
  });
}

async function stripeOf(key) {
  fetching ??= fetched();
  try {
    return (await fetching)(key);
  } catch (error) {
    fetching = null; // the next try fetches anew
    throw error;
  }
}

/** What `work` comes to, or a rejection after `ms`. */
const within = (ms, work) => Promise.race([work, sleep(ms).then(() => Promise.reject(new Error("no answer")))]);

const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

/** The form for one amount. */
export class CardForm {
  constructor(key, { amount, currency }) {
    Object.assign(this, { key, amount, currency: currency.toLowerCase() });
    this.elements = null;
  }

  /** Show it in `place`. Answers a sentence if it cannot be, else "". */
  async mount(place) {
    try {
      this.stripe = await within(STEP_MS, stripeOf(this.key));
      this.elements = this.stripe.elements({
        mode: "payment",
        amount: this.amount,
        currency: this.currency,
        captureMethod: "manual",
        paymentMethodTypes: ["card"],
        appearance: { theme: isDark() ? "night" : "stripe" },
      });
      this.element = this.elements.create("payment");
      this.element.mount(place);
      return "";
    } catch {
      return UNREACHABLE;
    }
  }

  /** The total changed, by a coupon or by where it goes to; what was typed stays. */
  setAmount(amount) {
    if (amount !== this.amount) this.elements?.update({ amount });
    this.amount = amount;
  }

  unmount() {
    this.element?.destroy();
    this.element = this.elements = null;
  }

  /** `{ id }` of a ConfirmationToken for what was typed, or `{ problem }`, a sentence. */
  async token() {
    if (!this.elements) return { problem: UNREACHABLE };
    try {
      const { error: incomplete } = await within(STEP_MS, this.elements.submit());
      if (incomplete) return { problem: incomplete.message };
      const { error, confirmationToken } = await within(STEP_MS, this.stripe.createConfirmationToken({ elements: this.elements }));
      return error ? { problem: error.message } : { id: confirmationToken.id };
    } catch {
      return { problem: UNREACHABLE };
    }
  }
}

/** Let the bank ask the buyer (3-D Secure), in a frame over the page. What came of it, the server knows. */
export async function answerBank(key, clientSecret) {
  try {
    const stripe = await within(STEP_MS, stripeOf(key));
    await within(BANK_MS, stripe.handleNextAction({ clientSecret }));
  } catch {
    /* the server asks Stripe itself, and cancels what nobody answered */
  }
}
