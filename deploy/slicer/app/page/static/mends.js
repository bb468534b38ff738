// Repairs what the libraries' page does wrong on a busy computer (trame-rca 2.11, trame-client 4.1).
(() => {
  // Input and pictures go by our own socket. The library waits for the answer to each batch of
  // events, so over a network it sends one batch in a round trip.
  const streamed = (app) => {
    const { h } = window.Vue;
    const area = app.component("RemoteControlledArea");
    const call = (method, [view, , what]) => {
      const take = { "trame.rca.event": "input", "trame.rca.size": "size" }[method];
      return Promise.resolve(window.slicerhubStream[take](view, what));
    };
    // What the area needs of the library's client: a session to call.
    const client = { getConnection: () => ({ getSession: () => ({ call }) }) };
    const get = (all, name) => (name === "client" ? client : Reflect.get(all, name));
    app.component("RemoteControlledArea", {
      props: area.props,
      inject: ["trame"],
      provide() {
        return { trame: new Proxy(this.trame, { get }) };
      },
      render() {
        return h(area, { ...this.$props, eventThrottleMs: 0 }, this.$slots);
      },
    });
    Object.assign(app.component("ImageDisplayArea"), {
      template:
        '<img class="image-display-area" ref="image" style="display: none" :style="imageStyle" draggable="false" alt="" />',
      watch: {},
      created() {},
      mounted() {
        this.hide = window.slicerhubStream.show(this.name, this.$refs.image);
      },
      beforeUnmount() {
        this.hide();
      },
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
      streamed(app);
      typedFirst(window.trame);
    },
  };
})();
