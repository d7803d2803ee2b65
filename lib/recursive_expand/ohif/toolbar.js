// The buttons on OHIF's own toolbar, by its toolbar service.

export const BUTTONS = [
  { id: "recursiveNext", action: "next", label: "Next", needs: null },
  { id: "recursiveAccept", action: "accept", label: "Accept ⇧A", needs: "painted" },
  { id: "recursiveReject", action: "reject", label: "Reject ⇧X", needs: "painted" },
  { id: "recursiveSlice", action: "slice", label: "Reject this slice", needs: "painted" },
  { id: "recursiveUndo", action: "undo", label: "Undo ⇧U", needs: "history" },
  { id: "recursiveState", action: null, label: "", needs: "never" },
];

export class Toolbar {
  constructor(servicesManager, act) {
    this.servicesManager = servicesManager;
    this.act = act;
    this.shown = { state: "", painted: false, history: false, sliceIsWrong: false };
  }

  // In a mode that is being entered: its own buttons come after these.
  add() {
    const { toolbarService } = this.servicesManager.services;
    toolbarService.addButtons(
      BUTTONS.map((button) => ({
        id: button.id,
        // A type that OHIF does not know is dropped in silence.
        uiType: "ohif.radioGroup",
        props: {
          label: button.label,
          tooltip: button.label,
          disableToolTip: true,
          commands: button.action ? button.id : [],
          evaluate: () => this._evaluate(button),
        },
      })),
    );
    this.added = true;
    toolbarService.createButtonSection("primary", BUTTONS.map((button) => button.id));
  }

  // What is true now: {state, painted, history, sliceIsWrong}, or some of it.
  show(facts) {
    Object.assign(this.shown, facts);
    // Before a study is open there is no grid to ask.
    if (!this.added) return;
    const { toolbarService, viewportGridService } = this.servicesManager.services;
    toolbarService.refreshToolbarState({ viewportId: viewportGridService.getActiveViewportId() });
  }

  _evaluate({ id, needs, label }) {
    const { state, sliceIsWrong } = this.shown;
    const text = id === "recursiveState" ? state : id === "recursiveSlice" && sliceIsWrong ? "Slice is right again" : label;
    return { disabled: needs !== null && !this.shown[needs], label: text, className: `recursive-button ${id}` };
  }
}
