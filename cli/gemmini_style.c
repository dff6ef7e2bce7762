/* How the page looks, and the few lines that sort its tables. It is all there without the latter. */
#include "cli/gemmini_page.h"

/* Okabe and Ito's colours (engine/base/svg.c), and lighter ones on a dark ground. */
static const char colours[] =
    ":root{--bg:#fff;--fg:#1b1f24;--muted:#59636e;--line:#d5dbe1;--card:#f5f7f9;--accent:#0072b2;"
    "--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#e69f00;--c5:#56b4e9;--c6:#7f7f7f}\n"
    "@media screen and (prefers-color-scheme:dark){:root{--bg:#14181c;--fg:#e4e8ec;"
    "--muted:#9aa6b2;--line:#353d45;--card:#1c2228;--accent:#6cc0f5;"
    "--c0:#3a9bdc;--c1:#f0792b;--c2:#1fbf92;--c3:#dd9cc0;--c4:#f0b63c;--c5:#8ed1f7;--c6:#989fa6}}"
    "\n";

static const char layout[] =
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--bg);color:var(--fg);"
    "font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Noto Sans\",sans-serif}\n"
    "main{max-width:1128px;margin:0 auto;padding:2.2rem 1.5rem 4rem}\n"
    "h1{font-size:1.9rem;line-height:1.2;margin:.1rem 0 .4rem;overflow-wrap:anywhere}\n"
    "h2{font-size:1.25rem;margin:3rem 0 .4rem;padding-top:1rem;border-top:1px solid var(--line)}\n"
    "h3{font-size:1rem;margin:1.6rem 0 .4rem}\n"
    "p{margin:.3rem 0 .8rem;max-width:48rem}\n"
    ".over{margin:0;font-size:.8rem;letter-spacing:.06em;text-transform:uppercase}\n"
    ".over,.note,figcaption,caption{color:var(--muted)}\n"
    ".note{font-size:.87rem}\n"
    "h3::first-letter,caption::first-letter{text-transform:uppercase}\n"
    "dl{display:grid;grid-template-columns:repeat(4,1fr);margin:.6rem 0 1rem;overflow:hidden;"
    "border:1px solid var(--line);border-radius:8px}\n"
    ".figures dd{font-size:1.35rem;line-height:1.3}\n"
    "@media(max-width:40rem){dl{grid-template-columns:1fr 1fr}"
    ".figures dd{font-size:1.1rem}}\n"
    "dl div{padding:.6rem .85rem;box-shadow:0 0 0 .5px var(--line)}\n"
    ".figures div{background:var(--card)}\n"
    "dt{font-size:.8rem;color:var(--muted)}\n"
    "dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}\n"
    "small{font-size:.8rem;color:var(--muted)}\n"
    ".more{display:block}\n"
    "figure{margin:.6rem 0 1.4rem;overflow-x:auto}\n"
    "figure svg{display:block;width:100%;min-width:720px;height:auto}\n"
    "figure svg+svg{margin-top:1rem}\n"
    "figcaption{font-size:.87rem;max-width:48rem;margin-bottom:.3rem}\n"
    ".rings{display:flex;flex-wrap:wrap;gap:1.5rem 2.5rem;align-items:center}\n"
    ".rings figure{margin:0;text-align:center}\n"
    ".rings svg{width:200px;min-width:0;font-size:20px}\n"
    ".key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.5em}\n"
    "pre{font-size:.8rem;line-height:1.4;padding:.8rem;background:var(--card);overflow-x:auto}\n"
    "summary{cursor:pointer;color:var(--accent)}\n";

static const char tables[] =
    ".scroll{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}\n"
    ".wide{width:100%}\n"
    "caption{text-align:left;padding-bottom:.3rem}\n"
    "th,td{padding:.32rem .5rem;text-align:right;white-space:nowrap;"
    "border-bottom:1px solid var(--line)}\n"
    "thead th{vertical-align:bottom;white-space:normal;font-weight:600;"
    "border-bottom:2px solid var(--line)}\n"
    "tbody th{font-weight:500}\n"
    "tfoot th,tfoot td{font-weight:600;border-bottom:0;border-top:2px solid var(--line)}\n"
    ".text{text-align:left}\n"
    "tbody tr:hover{background:var(--card)}\n"
    ".bar{display:inline-block;height:.7em;background:var(--accent);opacity:.75;"
    "margin-right:.5em;border-radius:1px}\n"
    ".scroll+.scroll{margin-top:2rem}\n"
    "[aria-sort]{cursor:pointer;position:relative}\n"
    "[aria-sort]::after{position:absolute;right:0;bottom:.55rem;font-size:.5rem}\n"
    "[aria-sort=ascending]::after{content:\"▲\"}\n"
    "[aria-sort=descending]::after{content:\"▼\"}\n"
    "@media print{body{font-size:9pt}.figures dd{font-size:1.15rem}h2{margin-top:1.5rem}"
    ".rings{break-inside:avoid;flex-wrap:nowrap}"
    "main{max-width:none;padding:0}"
    "*{-webkit-print-color-adjust:exact;print-color-adjust:exact}"
    "figure,tr,dl,h2,h3{break-inside:avoid}h2,h3{break-after:avoid}"
    "figure svg{min-width:0}figure,.scroll{overflow:visible}details{display:none}"
    "table{font-size:7pt}th,td{padding:.2rem .3rem}}\n";

/* A column's head sorts by it, by data-v where a cell has one; once more turns the order around. */
static const char script[] =
    "for(const table of document.querySelectorAll('table.sort')){\n"
    " const heads=[...table.tHead.rows[0].cells],body=table.tBodies[0];\n"
    " const value=(row,i)=>row.cells[i].dataset.v??row.cells[i].textContent;\n"
    " heads.forEach((head,i)=>{\n"
    "  const sort=()=>{\n"
    "   const isText=head.classList.contains('text');\n"
    "   const order=head.ariaSort==='none'?(isText?1:-1):head.ariaSort==='ascending'?-1:1;\n"
    "   for(const other of heads)other.ariaSort='none';\n"
    "   head.ariaSort=order>0?'ascending':'descending';\n"
    "   body.append(...[...body.rows].sort((a,b)=>order*(isText?\n"
    "    value(a,i).localeCompare(value(b,i)):value(a,i)-value(b,i))));\n"
    "  };\n"
    "  head.ariaSort||='none';head.tabIndex=0;head.onclick=sort;\n"
    "  head.onkeydown=event=>{if(event.key==='Enter'||event.key===' '){\n"
    "   event.preventDefault();sort()}};\n"
    " });\n"
    "}\n";

void ct_page_put_style(FILE *file)
{
    fputs(colours, file);
    fputs(layout, file);
    fputs(tables, file);
}

void ct_page_put_script(FILE *file)
{
    fputs(script, file);
}
