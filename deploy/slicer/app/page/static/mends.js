// Repairs what the libraries' page does wrong on a busy computer (trame-rca 2.11, trame-client 4.1).
(() => {
  // The newest picture of a view is always the one that stays. The library drops a picture that
  // comes while the fourth one before it is still being decoded, and shows an older one that is
  // decoded later than a newer one. Here one is decoded after the other, and of those that come
  // meanwhile the newest is kept.
  const inTurn = (controller) => {
    const { frames } = controller;
    let decoding = false;
    let newest = null;
    const shows = frames.map((frame) => frame.update.bind(frame));
    const show = (at, kind, content) => {
      if (decoding) {
        newest = [kind, content];
        return false;
      }
      return (decoding = shows[at](kind, content));
    };
    const next = () => {
      decoding = false;
      if (!newest) return;
      const picture = newest;
      newest = null;
      controller.nextFrameIndex = (controller.nextFrameIndex + 1) % frames.length;
      show(controller.nextFrameIndex, ...picture);
    };
    frames.forEach((frame, at) => {
      frame.update = (kind, content) => show(at, kind, content);
      frame.img.addEventListener("load", next);
      frame.img.addEventListener("error", next);
    });
  };

  // What was typed is there before the press that follows it. The library keeps changes back while
  // an earlier call is under way, but sends a press at once.
  const typedFirst = (trame) => {
    const trigger = trame.trigger;
    let typed = null;
    const send = (state) => {
      const { client } = state;
      state.client = Object.create(client, { isBusy: { value: () => false } });
      const sent = state.flush();
      state.client = client;
      return sent;
    };
    trame.trigger = async (...words) => {
      if (trame.state.dirtyKeys.size) typed = Promise.all([typed, send(trame.state)]);
      await typed; // also by the next press, which must not come first
      return trigger(...words);
    };
  };

  window.slicerhubMends = {
    install(app) {
      const view = app.component("ImageDisplayArea");
      const { created } = view;
      view.created = function () {
        created.call(this);
        inTurn(this.controller);
      };
      typedFirst(window.trame);
    },
  };
})();
