// The library's page only says that its connection is closed. Here it is loaded anew, as soon as its
// person may be here. It must run before the library's own script.
(() => {
  let leaving = false;
  addEventListener("pagehide", () => (leaving = true));
  window.WebSocket = class extends window.WebSocket {
    constructor(...words) {
      super(...words);
      this.addEventListener("close", async () => {
        if (!leaving && (await window.slicerhubDoor.comeBack())) location.reload();
      });
    }
  };
})();
