-- A role and a schema of Taskweir's own: what stands in `public` is served to the world by Supabase's data API.
create role taskweir login password 'PASSWORD';
create schema taskweir;
grant usage, create on schema taskweir to taskweir;
alter role taskweir set search_path = taskweir;
