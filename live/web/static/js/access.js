/** What an admin does beside an operator's work: gives somebody of the staff a link of their own. */
import { api } from "./api.js";
import { attempt } from "./staff.js";
import { dateTime } from "./time.js";
import { toast } from "./toast.js";
import { html, signal } from "./view.js";

const ROLES = { moderator: "Moderator", host: "Host", operator: "Operator", analyst: "Analyst: reads, changes nothing", admin: "Admin" };
const HOURS_MAX = 744;

const given = signal(null);

/** The page that a role works on, with the token where no server and no log sees it. */
function linkOf({ role, token, show_id: show }) {
  const page = role === "host" ? "studio" : "console";
  return `${location.origin}/${page}/${encodeURIComponent(show)}#token=${token}`;
}

export function AccessPanel({ show, token }) {
  async function give(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    const asked = { role: form.get("role"), name: form.get("name").trim(), show_id: show, hours: Number(form.get("hours")) };
    const made = await attempt(async () => api.issueToken(await token(), asked));
    if (made) given.value = made;
  }
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(linkOf(given.value));
      toast("Copied");
    } catch {
      toast("Select the link and copy it.", "bad");
    }
  };
  const made = given.value;
  return html`<section class="panel access" aria-labelledby="access-title">
    <h2 id="access-title">Access</h2>
    <form class="fields" onSubmit=${give}>
      <label>Name <input name="name" required maxlength="100" autocomplete="off" data-testid="access-name" /></label>
      <label>Role <select name="role" data-testid="access-role">${Object.entries(ROLES).map(([role, words]) => html`<option key=${role} value=${role}>${words}</option>`)}</select></label>
      <label>Hours <input name="hours" type="number" min="1" max=${HOURS_MAX} step="1" defaultValue="12" required data-testid="access-hours" /></label>
      <button type="submit" class="primary" data-testid="access-give">Make a link</button>
    </form>
    ${made && html`<p class="fine" role="status">For ${made.name}, until ${dateTime(made.expires_at_ms)}. Whoever has this link has this access, and it cannot be taken back before.</p>
      <div class="given"><input readonly value=${linkOf(made)} aria-label="Link for ${made.name}" data-testid="access-link" onFocus=${({ target }) => target.select()} /><button type="button" class="quiet" onClick=${copy}>Copy</button></div>`}
  </section>`;
}
