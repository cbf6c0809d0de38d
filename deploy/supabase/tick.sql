-- The heartbeat: every five seconds, by pg_cron and pg_net. Running it again replaces the jobs; secrets are made once.
create extension if not exists pg_cron;
create extension if not exists pg_net;

select vault.create_secret('https://tasks.example.com', 'taskweir_url');
select vault.create_secret('CRON SECRET', 'taskweir_cron_secret');

select cron.schedule('taskweir-tick', '5 seconds', $$
  select net.http_post(
    url := (select decrypted_secret from vault.decrypted_secrets where name = 'taskweir_url')
      || '/internal/tick?budget_ms=25000',
    headers := jsonb_build_object('Authorization', 'Bearer '
      || (select decrypted_secret from vault.decrypted_secrets where name = 'taskweir_cron_secret')),
    timeout_milliseconds := 30000)
$$);

-- pg_cron keeps a row for every run, some 17,000 a day.
select cron.schedule('taskweir-tick-history', '17 3 * * *', $$
  delete from cron.job_run_details where end_time < now() - interval '1 day'
$$);
