/* What the page needs no script for, this file leaves alone: it keeps the parts that the server marks as live up to
   date, and offers to copy a secret. The server renders those parts with the same templates as the page itself. */
"use strict";

(() => {
  const mark = document.querySelector("[data-live-source]");

  const say = (state, text) => {
    mark.dataset.is = state;
    mark.textContent = text;
  };

  /* A part is left as it is while somebody is in it with the keyboard: replacing it would throw them out. */
  const waiting = new Map();

  const replace = (id, markup) => {
    const part = document.getElementById(id);
    if (part && part.contains(document.activeElement)) {
      waiting.set(id, markup);
    } else if (part) {
      waiting.delete(id);
      part.innerHTML = markup;
    }
  };

  document.addEventListener("focusout", () => {
    setTimeout(() => waiting.forEach((markup, id) => replace(id, markup)));
  });

  if (mark && window.EventSource) {
    const source = new EventSource(mark.dataset.liveSource);
    source.addEventListener("open", () => say("on", "live"));
    source.addEventListener("error", () => {
      say("off", source.readyState === EventSource.CLOSED ? "not live: reload the page" : "reconnecting");
    });
    source.addEventListener("part", (event) => {
      const told = JSON.parse(event.data);
      replace(told.id, told.markup);
    });
    source.addEventListener("over", () => {
      source.close();
      say("off", "not live: reload the page");
    });
    window.addEventListener("pagehide", () => source.close());
  }

  for (const button of document.querySelectorAll("[data-copies]")) {
    const secret = document.getElementById(button.dataset.copies);
    if (secret && navigator.clipboard) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(secret.textContent.trim());
        button.textContent = "Copied";
      });
    }
  }
})();
