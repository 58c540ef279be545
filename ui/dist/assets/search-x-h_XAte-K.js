<<<<<<<< HEAD:ui/dist/assets/search-x-h_XAte-K.js
import{b as e}from"./index-COEIB7ZP.js";var t=e({name:`search-x`,size:24,node:[[`path`,{d:`m13.5 8.5-5 5`,key:`1cs55j`}],[`path`,{d:`m8.5 8.5 5 5`,key:`a8mexj`}],[`circle`,{cx:`11`,cy:`11`,r:`8`,key:`4ej97u`}],[`path`,{d:`m21 21-4.3-4.3`,key:`1qie3q`}]]});export{t};
========
import{b as e}from"./index-XZGS3OC_.js";var t=e({name:`search-x`,size:24,node:[[`path`,{d:`m13.5 8.5-5 5`,key:`1cs55j`}],[`path`,{d:`m8.5 8.5 5 5`,key:`a8mexj`}],[`circle`,{cx:`11`,cy:`11`,r:`8`,key:`4ej97u`}],[`path`,{d:`m21 21-4.3-4.3`,key:`1qie3q`}]]});export{t};
>>>>>>>> w-console:ui/dist/assets/search-x-Cvyf8aiu.js
