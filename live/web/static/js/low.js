/**
 * The low-stock alert on the pages of the staff: said once when it happens, and shown until it is over.
 *
 * Owns: since when each item has few left, by the state keys `low.<variant>`. What the snapshot brings is old news.
 */
import { toast } from "./toast.js";
import { signal } from "./view.js";

export class LowStock {
  constructor() {
    this.since = signal({});
  }

  /** Takes a frame of the socket; `nameOf` and `leftOf` tell an item's name and how many are left. */
  notice(frame, nameOf, leftOf) {
    const told = Object.entries(frame.st ?? {}).filter(([key]) => key.startsWith("low."));
    for (const [key, since] of told) {
      const variant = key.slice(4);
      const isNew = since !== null && this.since.value[variant] !== since && !frame.snapshot;
      this.since.value = { ...this.since.value, [variant]: since };
      if (isNew) toast(`Low stock: ${nameOf(variant)}, ${leftOf(variant)} left`, "bad");
    }
  }

  isLow(variant) {
    return Boolean(this.since.value[variant]);
  }
}
