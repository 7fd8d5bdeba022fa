/** What the console is for those who may not see orders and money: the room's talk, and what keeps it in order. */
import { ChatForm, ChatList, Voice } from "./chat.js";
import { Questions } from "./dialog.js";
import { Moderator, moderationPanel, slowMode } from "./moderation.js";
import { audiencePanel } from "./podium.js";
import { joinRoom } from "./room.js";
import { claimedRole, gateWords, isLockedOut, TokenGate, TopBar } from "./staff.js";
import { SwitchNotes } from "./switches.js";
import { Toasts } from "./toast.js";
import { html, render } from "./view.js";

export function startModerating({ show, session, root }) {
  const token = () => session.token();
  const { store, socket, status, problem } = joinRoom({ show, session });
  const voice = new Voice({ show, token, socket });
  const { ModerationPanel, refetch } = moderationPanel({ show, token, mayRule: claimedRole(session.value) === "host" });
  const moderator = new Moderator({ show, token, onChange: refetch });
  const SlowMode = slowMode({ show, token, store });
  const { AudiencePanel } = audiencePanel({ show, token, store, onAir: () => false });

  function Desk() {
    if (isLockedOut(problem.value)) return html`<${TokenGate} session=${session} role="moderator" refused=${gateWords(session, "moderator", problem.value)} />`;
    return html`<${TopBar} title="Moderation" show=${store.show.value} viewers=${store.viewers.value} status=${status.value} />
      <${SwitchNotes} show=${store.show.value} />
      <main class="console moderator" data-testid="moderator">
        <section class="panel talk" aria-labelledby="chat-title">
          <header class="split"><h2 id="chat-title">Chat</h2><${SlowMode} /></header>
          <${ChatList} messages=${store.chat.value} onTop=${store.onTop.value} voice=${voice} staff=${moderator} />
          <${ChatForm} voice=${voice} />
        </section>
        <div class="stack"><${AudiencePanel} /><${ModerationPanel} /></div>
      </main>
      <${Questions} /><${Toasts} />`;
  }

  render(html`<${Desk} />`, root);
}
