// What is said to the reader and asked of them, in plain DOM: OHIF's React is not shared with extensions.

const STYLE = new URL("./ohif.css", import.meta.url);

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

export class Words {
  constructor() {
    document.head.append(element("link", { rel: "stylesheet", href: STYLE.href }));
    this.next = element("button", { type: "button", textContent: "Next proposal", onclick: () => this.onNext?.() });
    this.state = element("span");
    this.line = element("div", { className: "recursive-line", hidden: true });
    this.line.setAttribute("role", "status");
    this.list = element("div", { className: "recursive-list", hidden: true }, this.state, this.next);
    this.legend = element("div", { className: "recursive-legend" });
    const root = element("div", { id: "recursive-expand" }, this.list, this.line);
    document.body.append(root);
  }

  // On the work list, where OHIF has no toolbar.
  showOnWorkList(state, shown) {
    this.list.hidden = !shown;
    this.state.textContent = state;
  }

  // What the colours on the screen mean, [[class name, colour]], and which slices have any; `where`: a viewport's element.
  showLegend(where, classes, marked) {
    const entries = classes.map(([name, colour]) => {
      const swatch = element("i");
      swatch.style.background = colour;
      return element("span", {}, swatch, name);
    });
    this.legend.replaceChildren(...entries, element("span", { textContent: marked }));
    where.append(this.legend);
  }

  hideLegend() {
    this.legend.remove();
  }

  say(text, { stays = false } = {}) {
    clearTimeout(this.timer);
    this.line.textContent = text;
    this.line.hidden = !text;
    if (!stays) this.timer = setTimeout(() => (this.line.hidden = true), 8000);
  }

  // The reader's name; asked until there is one.
  askName(known) {
    const input = element("input", { value: known ?? "", maxLength: 200, autocomplete: "off", required: true });
    const form = element(
      "form",
      { method: "dialog" },
      element("label", {}, "Your name or initials; it goes with each verdict, and only you can take yours back. ", input),
      element("button", { textContent: "Go on" }),
    );
    return this._ask(form, () => input.value.trim() || null, { must: true });
  }

  // Why a proposal is rejected: a reason's name, "" for none given, or null where the reader thought better of it.
  askReason(reasons) {
    let chosen = null;
    const buttons = [["", "No reason"], ...reasons].map(([name, text], index) =>
      element("button", { value: name, onclick: () => (chosen = name) }, element("kbd", { textContent: index }), ` ${text}`),
    );
    const form = element("form", { method: "dialog" }, element("p", { textContent: "Reject, because" }), ...buttons);
    form.addEventListener("keydown", (event) => {
      const button = buttons[event.key];
      if (!button) return;
      event.preventDefault();
      button.click();
    });
    return this._ask(form, () => chosen);
  }

  _ask(form, answer, { must = false } = {}) {
    const dialog = element("dialog", { className: "recursive-dialog" }, form);
    // OHIF listens to keys on the document.
    dialog.addEventListener("keydown", (event) => event.stopPropagation());
    document.body.append(dialog);
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => {
        const found = answer();
        if (must && !found) return dialog.showModal();
        dialog.remove();
        return resolve(found);
      });
    });
  }
}
