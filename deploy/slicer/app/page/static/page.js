// Sends the files that a person picked into the volume, one after the other, with progress.
(() => {
  const put = (url, file, onBytes) =>
    new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("PUT", url);
      request.upload.onprogress = (event) => onBytes(event.loaded);
      request.onload = () =>
        request.status === 201
          ? resolve()
          : reject(new Error(request.responseText.trim() || `It was refused (${request.status}).`));
      request.onerror = () => reject(new Error("The connection was lost. Upload it again."));
      request.send(file);
    });

  async function upload(input, root, folder, onPercent, onEnd) {
    const files = [...input.files];
    if (!files.length) return;
    const total = files.reduce((sum, file) => sum + file.size, 0) || 1;
    let before = 0;
    let shown = -1;
    const show = (bytes) => {
      const percent = Math.min(99, Math.floor((100 * bytes) / total));
      if (percent !== shown) onPercent((shown = percent));
    };
    let problem = "";
    try {
      show(0);
      for (const file of files) {
        const path = [root, folder, file.webkitRelativePath || file.name].filter(Boolean).join("/");
        const url = "files/" + path.split("/").map(encodeURIComponent).join("/");
        await put(url, file, (bytes) => show(before + bytes));
        before += file.size;
      }
    } catch (error) {
      problem = error.message;
    }
    input.value = "";
    onPercent(-1);
    onEnd(problem);
  }

  const pick = (id) => document.getElementById(id).click();

  const ask = () => fetch("ask", { method: "POST" });

  window.slicerhub = { ask, pick, upload };
})();
