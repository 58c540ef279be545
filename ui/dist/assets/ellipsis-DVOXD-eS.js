<<<<<<<< HEAD:ui/dist/assets/ellipsis-DVOXD-eS.js
import{b as e}from"./index-COEIB7ZP.js";var t=e({name:`ellipsis`,size:24,node:[[`circle`,{cx:`12`,cy:`12`,r:`1`,key:`41hilf`}],[`circle`,{cx:`19`,cy:`12`,r:`1`,key:`1wjl8i`}],[`circle`,{cx:`5`,cy:`12`,r:`1`,key:`1pcz8c`}]],aliases:[`more-horizontal`]});export{t};
========
import{b as e}from"./index-XZGS3OC_.js";var t=e({name:`ellipsis`,size:24,node:[[`circle`,{cx:`12`,cy:`12`,r:`1`,key:`41hilf`}],[`circle`,{cx:`19`,cy:`12`,r:`1`,key:`1wjl8i`}],[`circle`,{cx:`5`,cy:`12`,r:`1`,key:`1pcz8c`}]],aliases:[`more-horizontal`]});export{t};
>>>>>>>> w-console:ui/dist/assets/ellipsis-CWLqSSN-.js
