// Passkeys: the ceremony itself is allauth's script. Here: show buttons where the browser can do it, say why it failed.
// <button data-passkey="loginForm|addForm|authenticateForm" data-credential="id of the hidden field">
for (const button of window.PublicKeyCredential ? document.querySelectorAll("[data-passkey]") : []) {
  const { passkey, credential, passwordless } = button.dataset;
  const names = { add: button.id, login: button.id, authenticate: button.id };
  window.allauth.webauthn.forms[passkey]({ ids: { ...names, credential, passwordless, data: "js_data" } });
  button.hidden = false;
}

const WORDS = {
  NotAllowedError: "No passkey was used. Try again or continue without one.",
  InvalidStateError: "This device already has a passkey for your account.",
  SecurityError: "Passkeys require HTTPS or localhost.",
};
document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const note = document.getElementById("passkey-problem");
  if (!note) return;
  note.textContent = WORDS[event.detail.exception?.name] ?? "The passkey could not be used. Try again.";
  note.hidden = false;
});
