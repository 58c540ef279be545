<<<<<<<< HEAD:ui/dist/assets/usePolling-DSEtTwwN.js
import{gt as e}from"./_plugin-vue_export-helper-D9cdI6BW.js";function t(t,n){let r,i=()=>{a(),r=setInterval(()=>void t(),n)},a=()=>clearInterval(r),o=()=>{if(document.hidden)return a();t(),i()};document.addEventListener(`visibilitychange`,o),e(()=>{a(),document.removeEventListener(`visibilitychange`,o)}),document.hidden||i()}export{t};
========
import{gt as e}from"./_plugin-vue_export-helper-DJNCXlNR.js";function t(t,n){let r,i=()=>{a(),r=setInterval(()=>void t(),n)},a=()=>clearInterval(r),o=()=>{if(document.hidden)return a();t(),i()};document.addEventListener(`visibilitychange`,o),e(()=>{a(),document.removeEventListener(`visibilitychange`,o)}),document.hidden||i()}export{t};
>>>>>>>> w-console:ui/dist/assets/usePolling-CWNb7pxA.js
