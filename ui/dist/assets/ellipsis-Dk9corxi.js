<<<<<<<< HEAD:ui/dist/assets/ellipsis-Dk9corxi.js
import{_ as e}from"./index-ByIcGYBm.js";var t=e({name:`ellipsis`,size:24,node:[[`circle`,{cx:`12`,cy:`12`,r:`1`,key:`41hilf`}],[`circle`,{cx:`19`,cy:`12`,r:`1`,key:`1wjl8i`}],[`circle`,{cx:`5`,cy:`12`,r:`1`,key:`1pcz8c`}]],aliases:[`more-horizontal`]});export{t};
========
import{v as e}from"./index-ISo7k-P0.js";var t=e({name:`ellipsis`,size:24,node:[[`circle`,{cx:`12`,cy:`12`,r:`1`,key:`41hilf`}],[`circle`,{cx:`19`,cy:`12`,r:`1`,key:`1wjl8i`}],[`circle`,{cx:`5`,cy:`12`,r:`1`,key:`1pcz8c`}]],aliases:[`more-horizontal`]});export{t};
>>>>>>>> w-console:ui/dist/assets/ellipsis-DbmgGPMb.js
