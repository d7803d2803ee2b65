// OHIF's configuration, in the place of its build's own: where images are, which viewer is offered, our module.

window.config = {
  routerBasename: "/ohif/",
  showStudyList: true,
  showWarningMessageForCrossOrigin: true,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  useSharedArrayBuffer: "FALSE",
  investigationalUseDialog: { option: "configure", days: 365 },
  defaultDataSourceName: "dicomweb",
  dataSources: [
    {
      namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
      sourceName: "dicomweb",
      configuration: {
        friendlyName: "PACS",
        name: "PACS",
        qidoRoot: "/proxy/dicom/qido",
        wadoRoot: "/proxy/dicom/wado",
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        supportsReject: false,
        dicomUploadEnabled: false,
        imageRendering: "wadors",
        thumbnailRendering: "wadors",
        // Headers are asked for series by series: only the studies' own series are answered.
        enableStudyLazyLoad: true,
        bulkDataURI: { enabled: false },
      },
    },
  ],
  extensions: [
    // OHIF waits for all extensions: one that did not load would leave a blank page.
    import("/ohif/recursive-expand/index.js")
      .then((module) => module.default)
      .catch(() => ({
        id: "recursive-expand",
        preRegistration() {
          const line = document.createElement("div");
          line.setAttribute("role", "alert");
          line.style = "position:fixed;bottom:0;width:100%;z-index:999;padding:6px 12px;background:#7a1f1f;color:#fff";
          line.textContent = "Proposals cannot be judged here now: a part of this page did not load. Reload the page.";
          document.body.append(line);
        },
      })),
  ],
  // OHIF keeps the first mode of an id. These are for other tasks, or resample what is tilted or unevenly spaced.
  modes: ["segmentation", "tmtv", "microscopy", "preclinical-4d", "monai-label"].map((name) => ({
    id: `@ohif/mode-${name}`,
    routes: [],
    isValidMode: () => ({ valid: false }),
  })),
};
