/** The icons, drawn inline so that they take the text's colour. All are decoration: their buttons carry the words. */
import { html } from "./view.js";

const icon = (paths) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${paths}</svg>`;

export const Eye = () => icon(html`<path d="M2 12s3.6-6.5 10-6.5S22 12 22 12s-3.6 6.5-10 6.5S2 12 2 12Z" /><circle cx="12" cy="12" r="3" />`);
export const Sound = () => icon(html`<path d="M4 9.5v5h3.5L12 18.5v-13L7.5 9.5Z" /><path d="M15.5 9a4 4 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11" />`);
export const Muted = () => icon(html`<path d="M4 9.5v5h3.5L12 18.5v-13L7.5 9.5Z" /><path d="m16 9.5 5 5m0-5-5 5" />`);
export const Bag = () => icon(html`<path d="M5 8h14l1 12.5H4Z" /><path d="M8.5 10.5V7a3.5 3.5 0 0 1 7 0v3.5" />`);
export const Receipt = () => icon(html`<path d="M6 3.5h12v17l-3-2-3 2-3-2-3 2Z" /><path d="M9.5 8.5h5m-5 4h5" />`);
export const Send = () => icon(html`<path d="M4 12 20 4l-4.5 16-4-6.5Z" /><path d="m11.5 13.5 4-4" />`);
export const Cross = () => icon(html`<path d="m6 6 12 12M18 6 6 18" />`);
export const Bin = () => icon(html`<path d="M5 7h14M9.5 7V4.5h5V7m2.5 0-.8 12.5H7.8L7 7" />`);
export const Check = () => icon(html`<path d="m5 12.5 4.5 4.5L19 7" />`);
export const Pin = () => icon(html`<path d="M9 4h6l-.8 6 3.3 3.5h-11L9.8 10Z" /><path d="M12 13.5V20" />`);
export const Clock = () => icon(html`<circle cx="12" cy="12" r="8.5" /><path d="M12 7.5V12l3 2" />`);
export const Reply = () => icon(html`<path d="m10 7-5 5 5 5" /><path d="M5.5 12H14a5 5 0 0 1 5 5v1.5" />`);
export const More = () => icon(html`<circle cx="5.5" cy="12" r="1.2" /><circle cx="12" cy="12" r="1.2" /><circle cx="18.5" cy="12" r="1.2" />`);
export const Heart = () => icon(html`<path d="M12 20C6 15.5 3.5 12.3 3.5 9a4.3 4.3 0 0 1 8.5-1.2A4.3 4.3 0 0 1 20.5 9c0 3.3-2.5 6.5-8.5 11Z" />`);
export const Clap = () => icon(html`<path d="M8 13V6.5a1.5 1.5 0 0 1 3 0V11m0-5.5a1.5 1.5 0 0 1 3 0V11m0-4.5a1.5 1.5 0 0 1 3 0V15c0 3.5-2 5.5-5 5.5s-4.5-1.3-6-4L4.3 13.3a1.400 1.400 0 0 1 2.400-1.5L8 13.800" /><path d="m4 6-1.5-1M5.5 3.5 5 2m14.5 3L21 4" />`);
export const Flame = () => icon(html`<path d="M12 21c-4 0-6.5-2.600-6.5-6 0-3.800 3-5.3 3.5-10 3 1.5 4.5 4 4.5 6.5.9-.6 1.3-1.400 1.5-2.5 2 1.700 3.5 3.800 3.5 6.200 0 3.3-2.5 5.800-6.5 5.800Z" />`);
export const Laugh = () => icon(html`<circle cx="12" cy="12" r="8.5" /><path d="M8 10.5c.3-1.3 1.700-1.3 2 0m4 0c.3-1.3 1.700-1.3 2 0M7.5 13.5h9a4.5 4.5 0 0 1-9 0Z" />`);
export const Wow = () => icon(html`<circle cx="12" cy="12" r="8.5" /><path d="M9 9.5v.5m6-.5v.5" /><ellipse cx="12" cy="15" rx="2" ry="2.5" />`);
export const Ask = () => icon(html`<path d="M4 5h16v11h-8l-4.5 4V16H4Z" /><path d="M10 9a2 2 0 1 1 2.600 1.900c-.4.2-.6.5-.6 1.100m0 1.800v.1" />`);
export const Up = () => icon(html`<path d="m6 14 6-6 6 6" />`);
