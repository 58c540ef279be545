<<<<<<<< HEAD:ui/dist/assets/useMediaQuery-Cet9jCzM.js
import{ft as e,gt as t,vt as n,yt as r}from"./_plugin-vue_export-helper-D9cdI6BW.js";function i(i){let a=matchMedia(i),o=r(a.matches),s=()=>o.value=a.matches;return a.addEventListener(`change`,s),e()&&t(()=>a.removeEventListener(`change`,s)),n(o)}export{i as t};
========
import{ft as e,gt as t,vt as n,yt as r}from"./_plugin-vue_export-helper-DJNCXlNR.js";function i(i){let a=matchMedia(i),o=r(a.matches),s=()=>o.value=a.matches;return a.addEventListener(`change`,s),e()&&t(()=>a.removeEventListener(`change`,s)),n(o)}export{i as t};
>>>>>>>> w-console:ui/dist/assets/useMediaQuery-Drjwmctd.js
