<<<<<<<< HEAD:ui/dist/assets/intercepts-BEKsnmdH.js
import{n as e}from"./ReasonPill-CDhXyb8Y.js";import{Dt as t,Et as n,Ot as r}from"./errors-9cFakptO.js";var i=[`ip_not_allowed`,`key_banned`,`lost_race`,`stream_cut`,`network_blocked`];function a(e,i){return t(n.GET(`/admin/api/logs`,{params:{query:r(e)},signal:i}))}function o(t,n){return e(`/admin/api/logs/export`,{format:t,...r(n)})}export{a as n,i as r,o as t};
========
import{n as e}from"./ReasonPill-CeKjMOgk.js";import{Dt as t,Et as n,Ot as r}from"./errors-DvuXegEb.js";var i=[`ip_not_allowed`,`key_banned`,`lost_race`,`stream_cut`,`network_blocked`];function a(e,i){return t(n.GET(`/admin/api/logs`,{params:{query:r(e)},signal:i}))}function o(t,n){return e(`/admin/api/logs/export`,{format:t,...r(n)})}export{a as n,i as r,o as t};
>>>>>>>> w-console:ui/dist/assets/intercepts-vz5m62t2.js
