// Everything is readable and usable without this script.
"use strict";
{
  const root = document.documentElement;
  const stored = () => { try { return localStorage.getItem("theme") ?? "auto"; } catch { return "auto"; } };
  root.classList.add("js");
  root.dataset.theme = stored();

  const theme = () => {
    const select = document.querySelector("#theme");
    if (!select) return;
    select.hidden = false;
    select.value = stored();
    select.addEventListener("change", () => {
      root.dataset.theme = select.value;
      try { localStorage.setItem("theme", select.value); } catch { /* the choice lasts for this page */ }
    });
  };

  // Times in the reader's zone; the title keeps UTC.
  const times = (within) => {
    const now = new Date();
    for (const time of within.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
      const day = { year: "numeric", month: "2-digit", day: "2-digit" };
      const style = at.toDateString() === now.toDateString() || time.dataset.only === "clock" ? clock : { ...day, ...clock };
      time.textContent = at.toLocaleString("sv-SE", style).replace(",", "");
    }
  };

  const copy = async (button) => {
    const before = button.textContent;
    try { await navigator.clipboard.writeText(button.dataset.copy); button.textContent = "copied"; }
    catch { button.textContent = "failed"; }
    setTimeout(() => { button.textContent = before; }, 1500);
  };

  // A danger button works once the typed text is the one that it asks for. The server checks the text again.
  const confirm = (input) => {
    const button = input.form?.querySelector("button.danger");
    if (!button) return;
    const check = () => {
      const matches = input.value === input.dataset.confirm;
      button.disabled = !matches;
      button.classList.toggle("armed", matches);
    };
    input.addEventListener("input", check);
    check();
  };

  // Replaces one element by its newest self, unless somebody is at work in it.
  const refresh = (element) => {
    const seconds = Number(element.dataset.refresh) || 10;
    setInterval(async () => {
      if (document.hidden || element.contains(document.activeElement)) return;
      try {
        const answer = await fetch(location.href, { headers: { "x-live": "1" }, credentials: "same-origin" });
        if (answer.redirected || !answer.ok) return;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.getElementById(element.id);
        if (!fresh || fresh.innerHTML === element.dataset.served) return;
        const open = [...element.querySelectorAll("details")].map((details) => details.open);
        element.dataset.served = fresh.innerHTML;
        element.replaceChildren(...fresh.childNodes);
        element.querySelectorAll("details").forEach((details, at) => { details.open = open[at] ?? false; });
        times(element);
      } catch { /* the next time */ }
    }, seconds * 1000);
  };

  document.addEventListener("DOMContentLoaded", () => {
    theme();
    times(document);
    // A narrow page shows the newest end of a chart first.
    document.querySelectorAll(".chart .scroll").forEach((scroll) => { scroll.scrollLeft = scroll.scrollWidth; });
    document.querySelectorAll("input[data-confirm]").forEach(confirm);
    document.querySelectorAll("[data-refresh][id]").forEach(refresh);
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-copy]");
      if (button) copy(button);
      const opener = event.target.closest("[data-dialog]");
      if (opener) document.getElementById(opener.dataset.dialog)?.showModal();
      if (event.target.closest("[data-close]")) event.target.closest("dialog")?.close();
    });
  });
}
