// Passkeys: the ceremony itself is allauth's script. Here: show buttons where the browser can do it, say why it failed.
if (window.PublicKeyCredential) for (const one of document.querySelectorAll("[data-passkey]")) one.hidden = false;

const WORDS = {
  NotAllowedError: "No passkey was used. Try again, or go on without one.",
  InvalidStateError: "This device has a passkey of yours already.",
  SecurityError: "Passkeys do not work at this address. They need https, or localhost.",
};
document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const note = document.getElementById("passkey-problem");
  if (!note) return;
  note.textContent = WORDS[event.detail.exception?.name] ?? "The passkey could not be used. Try again.";
  note.hidden = false;
});
