// Sends what standard input asks for with nodemailer, one after the other: [{transport: {...}, mail: {...}, times: N}, ...].
// Prints one JSON document: for each the reply, or the error's code, SMTP reply code and text.
const nodemailer = require("nodemailer");

async function one(job) {
    const transport = nodemailer.createTransport(job.transport);
    try {
        const replies = await Promise.all(Array.from({ length: job.times || 1 }, () => transport.sendMail(job.mail)));
        return { ok: true, reply: replies[replies.length - 1].response, accepted: replies.map((r) => r.accepted).flat() };
    } catch (e) {
        return { ok: false, code: e.code, replyCode: e.responseCode, text: e.message };
    } finally {
        transport.close();
    }
}

(async () => {
    let input = "";
    for await (const piece of process.stdin) input += piece;
    const results = [];
    for (const job of JSON.parse(input)) results.push(await one(job));
    console.log(JSON.stringify(results));
})();
