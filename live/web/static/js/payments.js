/**
 * The ways to pay. The built-in test network moves no money and says so; with Stripe's publishable key in the page's
 * head there is a card form instead (card.js), and these buttons are not shown.
 */
export const METHODS = [
  { id: "fake_ok", testid: "pay-ok", label: "Pay", note: "test card", primary: true },
  { id: "fake_declined", testid: "pay-declined", label: "Declined", note: "test" },
  { id: "fake_slow", testid: "pay-slow", label: "Slow bank", note: "test" },
];
export const TEST_NOTICE = "Test payment: no money moves.";

const [provider, key = ""] = (document.querySelector('meta[name="payments"]')?.content ?? "fake").split(" ");

/** Stripe's publishable key; empty with the test network. */
export const STRIPE_KEY = provider === "stripe" ? key : "";
