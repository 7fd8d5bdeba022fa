/** The ways to pay. The only provider so far is the built-in test provider, which moves no money and says so. */
export const METHODS = [
  { id: "fake_ok", testid: "pay-ok", label: "Pay", note: "test card", primary: true },
  { id: "fake_declined", testid: "pay-declined", label: "Declined", note: "test" },
  { id: "fake_slow", testid: "pay-slow", label: "Slow bank", note: "test" },
];
export const TEST_NOTICE = "Test payment: no money moves.";
