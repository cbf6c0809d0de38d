// Runs the script of the README's page as a browser would, with the two elements that it writes to; prints what they show.
"use strict";

const [page, watch] = process.argv.slice(2);
const elements = { bar: { value: null }, text: { textContent: "waiting" } };
globalThis.document = { getElementById: (id) => elements[id] };
globalThis.location = { search: `?watch=${encodeURIComponent(watch)}` };
new Function(page.match(/<script>([^]*)<\/script>/)[1])();
setInterval(() => {
  if (elements.text.textContent.startsWith("http")) {
    process.stdout.write(JSON.stringify({ ...elements.bar, ...elements.text }));
    process.exit();
  }
}, 20);
