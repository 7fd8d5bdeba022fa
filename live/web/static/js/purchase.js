/**
 * One viewer's purchase, from tap to order: what to ask the server, what to keep over a reload, what to say.
 *
 * Owns: the hold this page is about, at most one at a time. Stages: "none", "holding" (the tap is on its way),
 * "confirming" (admitted, and not ours yet), "held" (the timer runs), "paying", "done" (an order), and "lapsed" (the time
 * ran out).
 * Invariant: one tap has one Idempotency-Key, kept in sessionStorage until the server has answered for good, so a
 * retry or a reload in the middle of it neither buys twice nor forgets a unit.
 */
import { api, intent, sleep } from "./api.js";
import { now } from "./clock.js";
import { saved } from "./session.js";
import { batch, signal } from "./view.js";
import { explain } from "./words.js";

const POLL_MS = 1_000;
const POLLS_MAX = 120;

export class Purchase {
  /**
   * `bill(hold)`: what the hold at hand is paid for with (bill.js). `answerBank(clientSecret)`: lets the bank ask the
   * buyer, where a provider's payments may come to that.
   */
  constructor({ show, token, onSettled = () => {}, bill, answerBank = null }) {
    Object.assign(this, { show, token, onSettled, answerBank });
    this.store = saved(`showfloor.hold.${show}`);
    this.stage = signal("none");
    this.hold = signal(null);
    this.order = signal(null);
    this.notice = signal("");
    this.cancellable = signal(false); // the order at hand, whose money has not been taken yet
    this.bill = bill(this.hold);
  }

  /** Go on with whatever a reload interrupted. */
  async resume() {
    const kept = this.store.get();
    if (!kept) return;
    if (kept.tap) await this.#place(kept.tap);
    else await this.#look(kept.hold_id);
  }

  /** The one tap. Answers the Problem if it was refused, else null. */
  async take(variant_id, quantity = 1, seen = null) {
    if (["holding", "confirming", "paying"].includes(this.stage.value)) return null;
    if (this.stage.value === "held") {
      this.notice.value = "Pay for this one or let it go before you take another.";
      return null;
    }
    const tap = { key: intent(), variant_id, quantity, seen };
    this.store.set({ tap });
    return this.#place(tap);
  }

  /** A hold that is ours already, by a comment, a place in a line or a tap before. False while another purchase is under way. */
  async adopt(holdId, notice) {
    if (this.hold.value?.hold_id === holdId && this.stage.value === "held") return true;
    if (!["none", "done", "lapsed"].includes(this.stage.value)) return false;
    this.store.set({ hold_id: holdId });
    await this.#look(holdId, notice);
    return true;
  }

  /** Set the hold aside, still ours, and go on choosing. */
  keep() {
    if (this.stage.value !== "held") return;
    const hold = this.hold.value;
    this.#clear(); // what is at hand is not kept aside
    this.bill.keep(hold);
  }

  /** Pay for what was set aside. */
  async payKept() {
    const hold = this.bill.takeOut();
    if (hold && !(await this.adopt(hold.hold_id, ""))) this.bill.keep(hold);
  }

  /** Turn to another hold of ours; the one at hand is set aside, still ours. False where that cannot be now. */
  async turnTo(holdId) {
    if (this.hold.value?.hold_id === holdId && ["held", "confirming", "paying"].includes(this.stage.value)) return true;
    this.keep();
    const kept = this.bill.takeOut(holdId);
    const taken = (await this.adopt(holdId, "")) && this.stage.value !== "none";
    if (!taken && kept) this.bill.keep(kept);
    return taken;
  }

  /** It may have been paid for or let go elsewhere. */
  async recheck(holdId) {
    if (this.stage.value === "held" && this.hold.value.hold_id === holdId) await this.#look(holdId);
  }

  async #place({ key, variant_id, quantity, seen }) {
    this.#enter("holding");
    try {
      const hold = await api.hold(this.show, await this.token(), key, variant_id, quantity, seen);
      if (hold.state === "confirming") this.#confirm(hold); // as long as it takes: the tap itself is answered
      else this.#held(hold);
      return null;
    } catch (problem) {
      if (problem.code !== "network") this.store.set(null);
      this.#enter("none");
      return problem;
    }
  }

  /** Pay with a method of the provider's. A method tried again after a lost answer goes under the same key. */
  async pay(method) {
    if (this.stage.value !== "held" || !this.bill.ready.value) return;
    this.#enter("paying");
    await this.#send(method);
  }

  /** Pay with what was typed into a form of the provider's (card.js); it is asked once, however often one clicks. */
  async payByCard(form, email = "") {
    if (this.stage.value !== "held" || !this.bill.ready.value) return;
    this.#enter("paying");
    const { id, problem } = await form.token();
    if (problem) this.#enter("held", problem);
    else await this.#send(id, email);
  }

  async #send(method, email = "") {
    const hold = this.hold.value;
    const kept = this.store.get();
    const key = kept?.pay?.method === method ? kept.pay.key : intent();
    this.store.set({ hold_id: hold.hold_id, pay: { key, method } });
    try {
      const { status, body } = await this.bill.pay(hold, await this.token(), key, method, email);
      if (status === 200) this.#done(body);
      else await this.#decide(hold.hold_id);
    } catch (problem) {
      await this.#refused(problem, hold);
    }
  }

  async release() {
    const hold = this.hold.value;
    if (this.stage.value !== "held" && this.stage.value !== "confirming") return;
    try {
      await api.release(hold.hold_id, await this.token());
      this.#clear();
    } catch (problem) {
      if (problem.code === "network") this.notice.value = explain(problem);
      else await this.#look(hold.hold_id);
    }
  }

  /** The page's timer reached zero: the server decides whether it did. */
  async lapse() {
    if (this.stage.value !== "held" || this.lapsing) return;
    this.lapsing = true;
    try {
      for (let tries = 0; tries < 10 && this.stage.value === "held"; tries += 1) {
        await this.#look(this.hold.value.hold_id);
        if (this.stage.value === "held" && this.hold.value.expires_at_ms > now()) return;
        if (this.stage.value === "held") await sleep(POLL_MS);
      }
      if (this.stage.value === "held") this.#lapsed();
    } finally {
      this.lapsing = false;
    }
  }

  /** What became of an order without our doing, as the server whispers it. True if the panel says so. */
  async hear({ order_id }) {
    const isAtHand = () => this.stage.value === "done" && this.order.value?.order_id === order_id;
    if (!isAtHand()) return false;
    const order = await api.order(order_id, await this.token()).catch(() => null);
    if (!order || !isAtHand()) return false;
    batch(() => {
      this.order.value = order;
      this.cancellable.value = order.state === "paid";
    });
    return true;
  }

  /** Undo the order, while its money has not been taken. */
  async cancel() {
    const { order_id } = this.order.value;
    this.#enter("done");
    this.cancellable.value = false;
    try {
      this.order.value = await api.cancelOrder(order_id, await this.token());
      this.onSettled();
    } catch (problem) {
      this.notice.value = explain(problem.code === "conflict" ? { code: "too_late_to_cancel" } : problem);
      this.#watchMoney(order_id);
    }
  }

  /** Mostly the money is taken before anybody could want to cancel: the way back is shown once it is seen not to be. */
  async #watchMoney(orderId) {
    for (let polls = 0; polls < POLLS_MAX; polls += 1) {
      await sleep(POLL_MS);
      const order = await api.order(orderId, await this.token()).catch(() => null);
      if (this.order.value?.order_id !== orderId || this.stage.value !== "done") break;
      if (order) this.order.value = order;
      this.cancellable.value = this.order.value.state === "paid";
      if (!this.cancellable.value) return;
    }
    this.cancellable.value = false;
  }

  /** Put the finished purchase aside. */
  dismiss() {
    this.#clear();
  }

  /** Where the payment stands, as the provider says now: the server asks it. Null without an answer. */
  async #payment(holdId) {
    return api.payment(holdId, await this.token()).catch(() => null);
  }

  async #letBankAsk(holdId) {
    const secret = this.answerBank && (await this.#payment(holdId))?.client_secret;
    if (!secret) return;
    this.notice.value = "Your bank wants to be sure that it is you.";
    await this.answerBank(secret);
    await this.#payment(holdId);
  }

  #enter(stage, notice = "") {
    batch(() => {
      this.stage.value = stage;
      this.notice.value = notice;
    });
  }

  #held(hold, notice = "") {
    batch(() => {
      this.hold.value = hold;
      this.order.value = null;
      this.#enter("held", notice);
    });
    this.store.set({ ...this.store.get(), tap: undefined, hold_id: hold.hold_id });
  }

  #done(order) {
    batch(() => {
      this.order.value = order;
      this.cancellable.value = false;
      this.#enter("done");
    });
    if (order.state === "paid") this.#watchMoney(order.order_id);
    this.store.set(null);
    this.bill.clear(order);
    this.onSettled();
  }

  #lapsed() {
    this.#enter("lapsed", explain({ code: "hold_lapsed" }));
    this.store.set(null);
    this.onSettled();
  }

  #clear() {
    this.#enter("none");
    this.hold.value = null;
    this.store.set(null);
  }

  #refused(problem, hold) {
    if (problem.code === "hold_lapsed") return this.#lapsed();
    if (["payment_declined", "limit_reached", "price_changed", "coupon_refused"].includes(problem.code)) {
      this.store.set({ hold_id: hold.hold_id }); // the next try is another intent, and goes under another key
      return this.#held(hold, explain(problem));
    }
    // Without a clear answer the payment may be under way or done: the hold knows. The key is kept, so that the same
    // button asks again without paying again.
    return this.#look(hold.hold_id, explain(problem));
  }

  /** Ask the server what became of a hold, and stand there. */
  async #look(holdId, notice = this.notice.value) {
    try {
      await this.#stand(await api.getHold(holdId, await this.token()), notice);
    } catch (problem) {
      if (problem.status === 403 || problem.status === 404) this.#clear();
      else if (this.hold.value) this.#held(this.hold.value, notice || explain(problem));
    }
  }

  async #stand(hold, notice = "") {
    if (hold.state === "held") this.#held(hold, notice);
    else if (hold.state === "confirming") await this.#confirm(hold);
    else if (hold.state === "paying") await this.#decide(hold.hold_id, hold);
    else if (hold.state === "sold") this.#done(await api.order(hold.order_id, await this.token()));
    else if (hold.state === "expired") this.#lapsed();
    else this.#clear();
  }

  /** The shop's books do not answer: nothing is promised, and nothing charged, until they have decided. */
  async #confirm(known) {
    this.hold.value = known;
    this.store.set({ hold_id: known.hold_id });
    this.#enter("confirming");
    while (this.stage.value === "confirming") {
      await sleep(POLL_MS);
      if (this.hold.value?.hold_id !== known.hold_id || this.stage.value !== "confirming") return;
      const hold = await api.getHold(known.hold_id, await this.token()).catch((problem) => problem);
      if (hold.state === "held") return this.#held(hold, "Confirmed: it is yours. Pay before the time is up.");
      if (hold.state === "expired" || hold.state === "released") return this.#unconfirmed();
      if (hold.state && hold.state !== "confirming") return this.#stand(hold);
      if (now() > known.expires_at_ms + POLLS_MAX * POLL_MS) return this.#unconfirmed();
    }
  }

  #unconfirmed() {
    this.hold.value = null;
    this.#enter("lapsed", explain({ code: "unconfirmed" }));
    this.store.set(null);
    this.onSettled();
  }

  /** The provider is undecided: the unit stays ours meanwhile; ask until it has decided. */
  async #decide(holdId, known = null) {
    if (known) this.hold.value = known;
    this.#enter("paying", "The bank is taking its time. The item stays yours.");
    await this.#letBankAsk(holdId);
    for (let polls = 0; polls < POLLS_MAX; polls += 1) {
      await sleep(POLL_MS);
      const hold = await api.getHold(holdId, await this.token()).catch(() => null);
      if (!hold || hold.state === "paying") continue;
      this.store.set({ hold_id: holdId });
      if (hold.state === "held") this.#held(hold, explain({ code: (await this.#payment(holdId))?.code || "payment_declined" }));
      else if (hold.state === "sold") await this.#stand(hold);
      else this.#lapsed(); // declined after its time had run out
      return;
    }
    this.notice.value = "The bank has not answered yet. Reload this page later to see how it ended.";
  }
}
