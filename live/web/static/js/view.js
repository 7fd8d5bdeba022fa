/**
 * The view library as one import: Preact, its hooks, signals, and htm in place of JSX.
 *
 * Text reaches the page only as a child of `html`, which Preact sets as text; nothing here or elsewhere
 * assigns innerHTML, so what a viewer types can never become markup.
 */
import { h, render } from "preact";
import htm from "htm";

export { render };
export { useEffect, useId, useMemo, useRef } from "preact/hooks";
export { batch, computed, effect, signal } from "@preact/signals";
export const html = htm.bind(h);
