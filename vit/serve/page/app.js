/* One picture or text at a time: it is sent, its labels are shown, and then what the model attended to.

   All text from the server or a file becomes text of an element, never markup. All URLs are relative. */

const TOKEN = "vit token"; // in this tab's storage

const el = (id) => document.getElementById(id);

let about = null; // what /model says
let current = null; // AbortController of what is under way

/* ---- the server ---- */

/** Fetch, with the token. Throws an Error whose message is for people. */
async function ask(path, options = {}) {
  const token = remembered();
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached, or closed the connection: is it still running?");
  }
  if (response.ok) return response;
  if (response.status === 401) {
    askForToken();
    throw new Error(token ? "That is not the token of this server." : "");
  }
  const answer = await response.json().catch(() => null);
  throw new Error(answer?.error?.message ?? `The server answered ${response.status}.`);
}

function remembered() {
  try {
    return sessionStorage.getItem(TOKEN);
  } catch {
    return null; // a frame without storage
  }
}

function askForToken() {
  el("token-form").hidden = false;
  el("token").focus();
}

async function begin() {
  try {
    about = await (await ask("model")).json();
  } catch (error) {
    el("about").textContent = "";
    complain(error);
    return;
  }
  const texts = about.reads === "text";
  document.title = `${about.model} · vit`;
  el("model").textContent = about.model;
  const classes = about.labels.length === 1 ? "1 class" : `${about.labels.length} classes`;
  el("about").textContent = `Reads ${texts ? "texts" : "pictures"} · ${about.labels.length ? classes : "features, no classes"}`;
  el("token-form").hidden = true;
  el(texts ? "text-form" : "picture-form").hidden = false;
  el("text").maxLength = about.max_characters;
  complain(null);
}

/* ---- what is sent ---- */

async function sendPicture(file) {
  if (file.size > about.max_bytes) {
    complain(new Error(`${file.name} has ${megabytes(file.size)}, and this server takes ${megabytes(about.max_bytes)}.`));
    return;
  }
  const form = new FormData();
  form.append("files", file, file.name || "pasted.png");
  preview(file);
  await answer({ body: form }, file.name || "Pasted picture");
}

async function sendText(text) {
  if (!text.trim()) {
    complain(new Error("There is no text yet."));
    return;
  }
  const headers = { "Content-Type": "application/json" };
  await answer({ headers, body: JSON.stringify({ texts: [text] }) }, "");
}

/** Ask for labels, and then for the viewer; a newer input ends an older one. */
async function answer(what, name) {
  current?.abort();
  const mine = (current = new AbortController());
  const options = { method: "POST", signal: mine.signal, ...what };
  complain(null);
  el("answer").hidden = el("attention").hidden = true;
  try {
    el("name").textContent = name; // a text stands above, and needs none
    if (about.labels.length) {
      say("Reading …", true);
      const { rows } = await (await ask("predict?topk=5", options)).json();
      showLabels(rows[0]);
    }
    el("answer").hidden = !name && !about.labels.length;
    document.body.classList.add("answered");
    say("Drawing what it attended to …", true);
    showViewer(await (await ask("attend?format=html", options)).text());
    say("");
  } catch (error) {
    if (mine !== current) return; // a newer input has taken its place
    say("");
    complain(error);
  }
}

/* ---- what is shown ---- */

function say(text, busy = false) {
  el("state").textContent = text;
  el("state").classList.toggle("busy", busy);
}

function complain(error) {
  el("trouble").textContent = error?.message ?? "";
  el("trouble").hidden = !el("trouble").textContent;
}

function preview(file) {
  const image = el("preview");
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  image.hidden = true; // until it is known that this browser can show it
}

el("preview").addEventListener("load", (event) => {
  const image = event.target;
  image.classList.toggle("small", Math.max(image.naturalWidth, image.naturalHeight) <= 64);
  image.hidden = false;
  el("answer").classList.add("pictured");
});
el("preview").addEventListener("error", () => el("answer").classList.remove("pictured"));

function showLabels(row) {
  el("remark").textContent = row.error; // of a text: how much of it was read
  const given = new Set(row.labels ?? []);
  el("labels").replaceChildren(...row.topk.map(({ label, score }) => {
    const line = document.createElement("li");
    line.classList.toggle("given", given.has(label));
    const [name, share, bar, filled] = ["span", "span", "span", "i"].map((kind) => document.createElement(kind));
    name.className = "label";
    name.textContent = label;
    share.textContent = `${(100 * score).toFixed(1)} %`;
    bar.className = "bar";
    filled.style.width = `${100 * score}%`;
    bar.append(filled);
    line.append(name, share, bar);
    return line;
  }));
}

function showViewer(page) {
  const frame = el("viewer");
  el("attention").hidden = false;
  frame.onload = () => {
    const body = frame.contentDocument.body;
    const fit = () => (frame.style.height = `${Math.ceil(body.getBoundingClientRect().height) + 1}px`);
    new ResizeObserver(fit).observe(body);
    fit();
  };
  frame.srcdoc = page;
}

const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/* ---- the ways in ---- */

for (const id of ["file", "camera"]) {
  el(id).addEventListener("change", (event) => {
    const [file] = event.target.files;
    event.target.value = ""; // so that the same file can be chosen again
    if (file) sendPicture(file);
  });
}

el("text-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sendText(el("text").value);
});
el("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) el("text-form").requestSubmit();
});

el("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  try {
    sessionStorage.setItem(TOKEN, el("token").value.trim());
  } catch {
    complain(new Error("This browser keeps nothing for this page, and so no token: open it in a tab of its own."));
    return;
  }
  begin();
});

document.addEventListener("paste", (event) => {
  if (about?.reads !== "image") return;
  take(event.clipboardData, "The clipboard has no picture.");
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  if (about?.reads === "image") take(event.dataTransfer, "That is no file: save the picture first, and drop its file.");
  else if (about) el("text").value = event.dataTransfer.getData("text/plain") || el("text").value;
});

function take(transfer, otherwise) {
  const [file] = transfer.files;
  if (file) sendPicture(file);
  else complain(new Error(otherwise));
}

begin();
