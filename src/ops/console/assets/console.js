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

  const clock = (at) => at.toLocaleTimeString("sv-SE", { hour: "2-digit", minute: "2-digit" });
  const day = (at) => at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });

  // Labels of drawings in the reader's zone; titles keep UTC. Ticks move to the nearest round time of that zone.
  const drawings = (within) => {
    for (const label of within.querySelectorAll("[data-as]")) {
      const at = new Date(label.dataset.at);
      label.textContent = label.dataset.as === "day" ? `${day(at)} ${clock(at)}` : clock(at);
    }
    for (const ticks of within.querySelectorAll("[data-step]")) {
      const { step, pixel, from, until } = ticks.dataset;
      const unit = Math.min(step, 864e5);
      for (const tick of ticks.children) {
        const at = new Date(tick.dataset.at).getTime();
        const local = at - new Date(at).getTimezoneOffset() * 6e4;
        const over = ((local % unit) + unit) % unit;
        const shift = over > unit / 2 ? unit - over : -over;
        const shown = new Date(at + shift);
        tick.setAttribute("transform", `translate(${shift / pixel} 0)`);
        if (shown < new Date(from) || shown > new Date(until)) tick.setAttribute("visibility", "hidden");
        tick.lastElementChild.textContent = step >= 864e5 || clock(shown) === "00:00" ? day(shown) : clock(shown);
      }
    }
    const name = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts().find(({ type }) => type === "timeZoneName");
    within.querySelectorAll(".zone").forEach((zone) => { zone.textContent = name?.value ?? ""; });
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

  // Replaces elements by their newest selves, unless somebody is at work in one. The state sentence comes with them, and
  // says when the store is out of reach; whose session is over comes to the login.
  const isBusy = (element) => element.contains(document.activeElement)
    || [...element.querySelectorAll("input:not([type=hidden])")].some((input) => input.value !== input.defaultValue);
  const replace = (element, page) => {
    const fresh = page.getElementById(element.id);
    if (!fresh || isBusy(element) || fresh.innerHTML === served.get(element)) return;
    const open = [...element.querySelectorAll("details")].map((details) => details.open);
    served.set(element, fresh.innerHTML);
    element.replaceChildren(...fresh.childNodes);
    element.querySelectorAll("details").forEach((details, at) => { details.open = open[at] ?? false; });
    times(element);
    drawings(element);
    element.querySelectorAll("input[data-confirm]").forEach(confirm);
  };
  const served = new Map();
  const refresh = (elements) => {
    if (!elements.length) return;
    setInterval(async () => {
      if (document.hidden) return;
      try {
        const answer = await fetch(location.href, { headers: { "x-live": "1" }, credentials: "same-origin" });
        if (answer.redirected || answer.status === 404) return location.reload();
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const state = page.querySelector(".state");
        if (!(answer.ok || answer.status === 503) || !state) return;
        document.querySelector(".state")?.replaceWith(state);
        times(state);
        if (answer.ok) elements.forEach((element) => replace(element, page));
      } catch { /* the next time */ }
    }, Math.min(...elements.map((element) => Number(element.dataset.refresh) || 10)) * 1000);
  };

  document.addEventListener("DOMContentLoaded", () => {
    theme();
    times(document);
    drawings(document);
    // A narrow page shows first what is about now.
    document.querySelectorAll(".chart .scroll").forEach((scroll) => {
      const now = scroll.querySelector("line.now")?.getAttribute("x1");
      scroll.scrollLeft = now ? now - scroll.clientWidth * 0.6 : scroll.scrollWidth;
    });
    document.querySelector(".nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
    document.querySelectorAll("input[data-confirm]").forEach(confirm);
    refresh([...document.querySelectorAll("[data-refresh][id]")]);
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-copy]");
      if (button) copy(button);
      const opener = event.target.closest("[data-dialog]");
      if (opener) document.getElementById(opener.dataset.dialog)?.showModal();
      if (event.target.closest("[data-close]")) event.target.closest("dialog")?.close();
    });
  });
}
